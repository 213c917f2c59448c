from route_addon.compose import build_addon

addons = [build_addon()]
