/**
 * How many operations ran on a machine, as etcd counts them (mvcc/metrics_txn.go): every put,
 * delete-range and range, also those inside transactions, and a transaction when it ran more than
 * one. They begin anew with a machine, belong to one replica and take no part in its state.
 */
export class OperationCounts {
  puts = 0;
  deletes = 0;
  ranges = 0;
  txns = 0;
  /** Bytes of the keys and values that were put. */
  putBytes = 0;

  /** All operations; a transaction is told by how far this grew. */
  get total(): number {
    return this.puts + this.deletes + this.ranges;
  }
}
