"""The tests of route_addon. Import as ``tests....``: the repository's root is on the path."""
