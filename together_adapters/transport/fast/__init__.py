"""`transport="fast"`: requests on wreq, an HTTP stack in Rust, in place of httpx; imported when it is first used.

Of the stacks in Rust for Python, wreq alone ends a request with its task, tells connections apart, and takes the proxy, the certificates
and the time limit that are meant. What it cannot do as httpx does goes over httpx, and a line of the log says so.
"""
