import { DbInstance } from "@cdktf/provider-aws/lib/db-instance/index.js";
import { DbParameterGroup } from "@cdktf/provider-aws/lib/db-parameter-group/index.js";
import { DbSubnetGroup } from "@cdktf/provider-aws/lib/db-subnet-group/index.js";
import type { Construct } from "constructs";
import type { AwsSettings } from "./form.ts";
import type { NetworkStack } from "./network.ts";
import { AwsStack } from "./stack.ts";

const MAJOR = "17";
const BACKUP_DAYS = 30;
/** It grows by itself up to so many times of what it begins with. */
const GROWTH = 4;
/** RDS has no more for gp3. */
const MAX_GB = 65_536;

/** PostgreSQL for more replicas than one: two zones, TLS alone, its master password made and turned over by RDS, in no state. */
export class DatabaseStack extends AwsStack {
  readonly instance: DbInstance;

  constructor(scope: Construct, settings: AwsSettings, network: NetworkStack) {
    super(scope, "database", settings);
    const { database } = settings.registry;
    if (database === undefined) throw new RangeError("Replicas need a database");
    const key = this.encryptionKey("database-key", "database, its backups and its password", { keeps: true });
    const name = this.named("registry");
    const subnets = new DbSubnetGroup(this, "subnets", { name, subnetIds: [...network.restricted.values()].map(({ id }) => id) });
    const parameters = new DbParameterGroup(this, "parameters", {
      name,
      family: `postgres${MAJOR}`,
      parameter: [
        { name: "rds.force_ssl", value: "1" },
        { name: "log_connections", value: "1" },
      ],
    });
    this.instance = new DbInstance(this, "database", {
      identifier: name,
      engine: "postgres",
      engineVersion: MAJOR,
      instanceClass: database.instanceClass,
      allocatedStorage: database.storageGb,
      maxAllocatedStorage: Math.min(database.storageGb * GROWTH, MAX_GB),
      storageType: "gp3",
      storageEncrypted: true,
      kmsKeyId: key.arn,
      dbName: "entityos",
      username: "entityos",
      manageMasterUserPassword: true,
      masterUserSecretKmsKeyId: key.arn,
      iamDatabaseAuthenticationEnabled: true,
      publiclyAccessible: false,
      multiAz: true,
      dbSubnetGroupName: subnets.name,
      vpcSecurityGroupIds: [network.group("database").id],
      parameterGroupName: parameters.name,
      caCertIdentifier: "rds-ca-rsa2048-g1",
      backupRetentionPeriod: BACKUP_DAYS,
      copyTagsToSnapshot: true,
      deleteAutomatedBackups: false,
      deletionProtection: settings.protection,
      skipFinalSnapshot: false,
      finalSnapshotIdentifier: `${name}-last`,
      autoMinorVersionUpgrade: true,
      enabledCloudwatchLogsExports: ["postgresql", "upgrade"],
      performanceInsightsEnabled: true,
      performanceInsightsKmsKeyId: key.arn,
    });
    this.keep(this.instance);
  }
}
