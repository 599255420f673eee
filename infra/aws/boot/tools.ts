import { type UserDataInput, word } from "./input.ts";

/** SHA-256 of nothing: what a request without a body is signed with. */
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** What the first boot keeps. */
export const FOLDER = "/var/lib/entityos-first-boot";
/** The instance that all of it was done for: an image of this disk is another one's. */
export const DONE = `${FOLDER}/done`;
/** The instance that it was begun for. */
export const INSTANCE = `${FOLDER}/instance`;
/** Where {@link bucketTools} lie on the machine: its programs begin with them. */
export const TOOLS = "/usr/local/lib/entityos-instance";

/**
 * Shell functions that speak with the bucket and Secrets Manager as this instance, by curl's own SigV4 (7.75 or later). The
 * instance's credentials go over standard input, so that no process list shows them. Braces around variables are left out: Terraform
 * would take them for its own.
 */
export const bucketTools = ({ bucket, metadata, region }: Pick<UserDataInput, "bucket" | "metadata" | "region">): string => `
metadata() { # PATH: what the instance says of itself (IMDSv2)
  token=$(curl -sSf --max-time 10 --retry 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' ${word(metadata)}/latest/api/token)
  printf 'header = "X-aws-ec2-metadata-token: %s"\\n' "$token" | curl -K - -sSf --max-time 10 "${word(metadata)}/latest/meta-data/$1"
}
field() { # NAME: of the JSON on standard input
  sed -n "s/.*\\"$1\\" *: *\\"\\([^\\"]*\\)\\".*/\\1/p"
}
signed() { # SERVICE, then curl's own arguments
  service=$1
  shift
  credentials=$(metadata "iam/security-credentials/$(metadata iam/security-credentials/)")
  {
    printf 'user = "%s:%s"\\n' "$(echo "$credentials" | field AccessKeyId)" "$(echo "$credentials" | field SecretAccessKey)"
    printf 'header = "x-amz-security-token: %s"\\n' "$(echo "$credentials" | field Token)"
  } | curl -K - -sSf --max-time 300 --aws-sigv4 "aws:amz:${word(region)}:$service" "$@"
}
fetch() { # KEY FILE: an object of the bucket; S3 takes a plus sign for a blank
  signed s3 -H 'x-amz-content-sha256: ${EMPTY}' -o "$2" "${word(bucket)}/$(echo "$1" | sed 's/+/%2B/g')"
}
store() { # FILE KEY
  signed s3 -H "x-amz-content-sha256: $(sha256sum "$1" | cut -d ' ' -f 1)" -T "$1" "${word(bucket)}/$2"
}
requests_digest() { # FOLDER: of a host's requests, as its console and its journal show it
  (cd "$1" && sha256sum agent.csr service.csr) | sha256sum | cut -d ' ' -f 1
}
`;
