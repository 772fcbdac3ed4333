"""Reads many records, keeps every fourth, and idles: a cache after a busy hour."""

import time

records = [{"id": i, "name": f"name {i}" * 3, "tags": [str(i), str(i + 1)]} for i in range(150_000)]
kept = records[::4]
del records
for _ in range(60):
    time.sleep(0.05)
print(len(kept))
