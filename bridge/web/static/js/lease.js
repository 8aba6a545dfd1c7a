// The right to move something, held for as long as it is needed and not longer.

/** Ask for the lease of a device's group, do `work(lease)` while it is renewed once a second, give it back. */
export async function withLease(requests, device, work) {
  const lease = await requests.ask("lease", { device });
  const renewal = setInterval(() => requests.ask("renew", { lease: lease.lease }).catch(() => {}), 1000);
  try {
    return await work(lease);
  } finally {
    clearInterval(renewal);
    requests.ask("release", { lease: lease.lease }).catch(() => {});
  }
}
