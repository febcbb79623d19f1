/** The services of a server, all in one process here. */
export const SERVICES = ['frontend', 'history', 'matching', 'worker'] as const;

export interface ServerConfigOptions {
  postgresUrl: string;
  databases: { store: string; visibility: string };
  historyShards: number;
  /** By the service's name for gRPC, with `-membership` for gossip, and `metrics`. */
  ports: Readonly<Record<string, number>>;
  dynamicConfigPath: string;
}

/** Each of the four services opens a pool of its own, so a server holds up to four times this many connections. */
const STORE_CONNECTIONS = 10;
const VISIBILITY_CONNECTIONS = 4;

/** The static configuration of a single server on PostgreSQL, listening on the loopback alone. */
export function serverConfig(options: ServerConfigOptions): unknown {
  const { postgresUrl, databases, historyShards, ports, dynamicConfigPath } = options;
  const { hostname, port, username, password } = new URL(postgresUrl);
  const store = (databaseName: string, connections: number) => ({
    sql: {
      pluginName: 'postgres12',
      databaseName,
      connectAddr: `${hostname}:${port || '5432'}`,
      connectProtocol: 'tcp',
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
      maxConns: connections,
      maxIdleConns: connections,
      maxConnLifetime: '1h',
    },
  });
  return {
    log: { stdout: true, level: 'warn' },
    persistence: {
      defaultStore: 'store',
      visibilityStore: 'visibility',
      numHistoryShards: historyShards,
      datastores: {
        store: store(databases.store, STORE_CONNECTIONS),
        visibility: store(databases.visibility, VISIBILITY_CONNECTIONS),
      },
    },
    global: {
      membership: { maxJoinDuration: '30s', broadcastAddress: '127.0.0.1' },
      metrics: {
        prometheus: {
          framework: 'tally',
          timerType: 'histogram',
          listenAddress: `127.0.0.1:${ports.metrics ?? 0}`,
        },
      },
    },
    services: Object.fromEntries(
      SERVICES.map((service) => [
        service,
        {
          rpc: {
            grpcPort: ports[service],
            membershipPort: ports[`${service}-membership`],
            bindOnLocalHost: true,
          },
        },
      ]),
    ),
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: {
          enabled: true,
          initialFailoverVersion: 1,
          rpcName: 'frontend',
          rpcAddress: `127.0.0.1:${ports.frontend ?? 0}`,
        },
      },
    },
    dcRedirectionPolicy: { policy: 'noop' },
    dynamicConfigClient: { filepath: dynamicConfigPath, pollInterval: '60s' },
  };
}

/** What Posthorn asks of a cluster; docs/scaling.md says what each does. */
export function dynamicConfig(): unknown {
  const values: Record<string, unknown> = {
    'history.timerProcessorMaxTimeShift': '10ms',
    'system.enableActivityEagerExecution': true,
    'matching.enableFairness': true,
    'matching.numTaskqueueReadPartitions': 1,
    'matching.numTaskqueueWritePartitions': 1,
    'frontend.rps': 100_000,
    'frontend.namespaceRPS': 100_000,
    'history.rps': 100_000,
    'matching.rps': 100_000,
  };
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, [{ value }]]));
}
