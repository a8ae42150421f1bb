/**
 * etcd's flags (3.4 to 3.7) that this version does not have. They and their ETCD_ variables are
 * refused by name: who asked for TLS must not get a server without.
 */
export const UNSUPPORTED_ETCD_FLAGS: ReadonlySet<string> = new Set(
  `
  wal-dir snapshot-catchup-entries initial-election-tick-advance listen-client-http-urls max-wals
  max-snapshots memory-mlock quota-backend-bytes backend-bbolt-freelist-type
  backend-batch-interval backend-batch-limit max-txn-ops max-request-bytes
  max-concurrent-streams grpc-keepalive-min-time grpc-keepalive-interval grpc-keepalive-timeout
  socket-reuse-port socket-reuse-address enable-grpc-gateway raft-read-timeout
  raft-write-timeout feature-gates

  discovery discovery-proxy discovery-token discovery-endpoints discovery-dial-timeout
  discovery-request-timeout discovery-keepalive-time discovery-keepalive-timeout
  discovery-insecure-transport discovery-insecure-skip-tls-verify discovery-cert discovery-key
  discovery-cacert discovery-user discovery-password discovery-srv discovery-srv-name
  discovery-fallback auto-compaction-retention auto-compaction-mode enable-v2 proxy

  cert-file key-file trusted-ca-file client-cert-auth client-cert-file client-key-file
  client-crl-file client-cert-allowed-hostname auto-tls peer-cert-file peer-key-file
  peer-trusted-ca-file peer-client-cert-auth peer-client-cert-file peer-client-key-file
  peer-cert-allowed-cn peer-cert-allowed-hostname peer-auto-tls peer-crl-file
  peer-skip-client-san-verification self-signed-cert-validity cipher-suites cors host-whitelist
  tls-min-version tls-max-version

  auth-token bcrypt-cost auth-token-ttl enable-pprof metrics enable-log-rotation
  log-rotation-config-json log-package-levels warning-unary-request-duration
  warning-apply-duration enable-distributed-tracing distributed-tracing-address
  distributed-tracing-service-name distributed-tracing-instance-id
  distributed-tracing-sampling-rate debug

  corrupt-check-time compact-hash-check-time compaction-batch-limit compaction-sleep-interval
  watch-progress-notify-interval bootstrap-defrag-threshold-megabytes downgrade-check-time
  force-new-cluster unsafe-no-fsync config-file

  experimental-initial-corrupt-check experimental-corrupt-check-time
  experimental-compact-hash-check-enabled experimental-compact-hash-check-time
  experimental-enable-lease-checkpoint experimental-enable-lease-checkpoint-persist
  experimental-compaction-batch-limit experimental-compaction-sleep-interval
  experimental-watch-progress-notify-interval experimental-downgrade-check-time
  experimental-warning-apply-duration experimental-memory-mlock
  experimental-txn-mode-write-with-shared-buffer experimental-stop-grpc-service-on-defrag
  experimental-bootstrap-defrag-threshold-megabytes experimental-snapshot-catchup-entries
  experimental-max-learners experimental-peer-skip-client-san-verification
  experimental-enable-distributed-tracing experimental-distributed-tracing-address
  experimental-distributed-tracing-service-name experimental-distributed-tracing-instance-id
  experimental-distributed-tracing-sampling-rate
  `
    .trim()
    .split(/\s+/),
);
