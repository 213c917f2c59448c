"""What the router is shown with: a small pyos, a website, two users' pods.

Nothing here is part of the package `route_addon`; `python -m demo` starts all of it.
"""
