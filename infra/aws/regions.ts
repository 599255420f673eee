/**
 * Regions of AWS's own partition, as the AWS SDK for JavaScript names them (@aws-sdk/core 3.981.2, looked at on 2026-11-29). One that came
 * later is not here: it is added when it is wanted.
 */
const REGIONS: readonly string[] = [
  "af-south-1",
  ...["east-1", "east-2", "northeast-1", "northeast-2", "northeast-3", "south-1", "south-2"].map((place) => `ap-${place}`),
  ...[1, 2, 3, 4, 5, 6, 7].map((number) => `ap-southeast-${number}`),
  ...["ca-central-1", "ca-west-1"],
  ...["central-1", "central-2", "north-1", "south-1", "south-2", "west-1", "west-2", "west-3"].map((place) => `eu-${place}`),
  ...["il-central-1", "me-central-1", "me-south-1", "me-west-1", "mx-central-1", "sa-east-1", "sa-west-1"],
  ...["east-1", "east-2", "west-1", "west-2"].map((place) => `us-${place}`),
];

/** What is wrong with a region; null when nothing is. Those of China and of governments have other names for everything. */
export function regionProblem(region: string): string | null {
  if (!/^(af|ap|ca|eu|il|me|mx|sa|us)-(central|north|south|east|west|(north|south)(east|west))-\d$/.test(region))
    return "a region is written like ap-southeast-2; those of China, governments and sovereign clouds are not supported";
  return REGIONS.includes(region) ? null : `there is no region ${region} among those that are known (infra/aws/regions.ts)`;
}
