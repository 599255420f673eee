/** Where the services of a partition answer; others have to be told by `endpoint`. */
const SUFFIX: Readonly<Record<string, string>> = { aws: "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn" };

/** @param arn whose region and partition it is, @param own null for the region's own public endpoint */
export function endpointOf(
  service: "kms" | "acm-pca",
  arn: string,
  own: string | null,
): { readonly region: string; readonly endpoint: URL } {
  const [, partition = "", , region = ""] = arn.split(":");
  return { region, endpoint: new URL(own ?? `https://${service}.${region}.${SUFFIX[partition] ?? "amazonaws.com"}`) };
}
