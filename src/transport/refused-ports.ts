/**
 * Ports that belong to other protocols. A webhook URL lets a stranger choose where bytes go, and line protocols run whatever
 * of an HTTP request looks like a command of theirs ("cross-protocol" attacks). The first group is the list of browsers
 * (WHATWG Fetch, "bad port"); the second is databases, queues and control planes, which browsers never had to think of.
 */
export const REFUSED_PORTS: ReadonlySet<number> = new Set([
  0,
  1,
  7,
  9,
  11,
  13,
  15,
  17,
  19,
  20,
  21,
  22,
  23,
  25,
  37,
  42,
  43,
  53,
  69,
  77,
  79,
  87,
  95,
  101,
  102,
  103,
  104,
  109,
  110,
  111,
  113,
  115,
  117,
  119,
  123,
  135,
  137,
  139,
  143,
  161,
  179,
  389,
  427,
  465,
  512,
  513,
  514,
  515,
  526,
  530,
  531,
  532,
  540,
  548,
  554,
  556,
  563,
  587,
  601,
  636,
  989,
  990,
  993,
  995,
  1719,
  1720,
  1723,
  2049,
  3659,
  4045,
  4190,
  5060,
  5061,
  6000,
  6566,
  6665,
  6666,
  6667,
  6668,
  6669,
  6679,
  6697,
  10080,

  445, // SMB
  873, // rsync
  1433,
  1434, // SQL Server
  1521, // Oracle
  2181, // ZooKeeper
  2375,
  2376, // Docker
  2379,
  2380, // etcd
  3306,
  33060, // MySQL
  3389, // remote desktop
  4222, // NATS
  5432,
  6432, // PostgreSQL, PgBouncer
  5671,
  5672, // AMQP
  5900, // VNC
  5984, // CouchDB
  6379,
  6380, // Redis
  7233, // Temporal
  9042, // Cassandra
  9092, // Kafka
  9200,
  9300, // Elasticsearch
  10250,
  10255, // kubelet
  11211, // memcached
  26257, // CockroachDB
  27017,
  27018,
  27019, // MongoDB
]);
