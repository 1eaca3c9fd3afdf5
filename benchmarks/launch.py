"""Run a program to its end and write `exit code, wall seconds, peak memory in kB` as the last line of standard error.

Small itself, and meant for `python -I -S`: Linux hands a parent's peak memory on to the programs that it starts.
"""

import os
import sys
import time

start = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
seconds = time.perf_counter() - start
os.write(2, f"\n{os.waitstatus_to_exitcode(status)} {seconds:.6f} {usage.ru_maxrss}\n".encode())
