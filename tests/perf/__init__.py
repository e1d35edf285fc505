"""How fast Cordon contains, what its functions take, and what a case costs. See docs/performance.md.

A time never fails a benchmark: it is the machine's as much as ours. A benchmark fails where what it measured did not work.
"""
