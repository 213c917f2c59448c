"""Hooks, fired at mitmproxy's addons in its addon manager's way, for a tenth of the time.

The manager makes a context, a coroutine and two generators for each addon at each hook, whether
the addon has that hook or not. Here each is looked at, and only that. Nothing is remembered from
one hook to the next: addons come, go and are reloaded at any time. ``fire_lightly`` lets what
mitmproxy fires itself go this way, too: that was half of what its own layers took for a request.

No task is needed before somebody waits. So that who began without one gets it then, and what is
awaited finds itself in one, there is a sleep for no time before each wait (``Watch.begin``).
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from inspect import isawaitable
from types import ModuleType

from mitmproxy import addonmanager, ctx
from mitmproxy.exceptions import AddonHalt, OptionsError
from mitmproxy.flow import Flow
from mitmproxy.hooks import Hook, UpdateHook

logger = logging.getLogger(__name__)


async def fire(hook: type[Hook], flow: Flow) -> None:
    """Ask all addons about a flow, then tell those that show it: ``handle_lifecycle``.

    Args:
        hook: A hook whose only argument is the flow.
        flow: The flow.
    """
    await trigger(hook, flow)
    await trigger(UpdateHook, [flow])


async def fire_and_wait(hook: type[Hook], flow: Flow) -> None:
    """The same, and wait for whoever intercepts the flow: ``ConnectionHandler.handle_hook``."""
    await fire(hook, flow)
    if flow.intercepted:
        await wait_for_resume(flow)


async def trigger(hook: type[Hook], argument: object) -> None:
    """Call all addons that have a hook, in their order: ``AddonManager.trigger_event``.

    What an addon raises is logged, and spares its children; the next one has its turn.

    Raises:
        OptionsError: An addon's own.
    """
    await _ask_all(ctx.master.addons, hook.name, (argument,), is_in_task=False)


def fire_lightly(addons: addonmanager.AddonManager) -> None:
    """Let a manager call its addons in this way whenever mitmproxy fires a hook.

    Args:
        addons: The manager.
    """

    async def trigger_event(event: Hook) -> None:
        await _ask_all(addons, event.name, _arguments(event), is_in_task=True)

    addons.trigger_event = trigger_event  # type: ignore[method-assign]


def _arguments(event: Hook) -> list[object]:
    return [getattr(event, name) for name in _argument_names(type(event))]  # type: ignore[arg-type]


@cache
def _argument_names(hook: type[Hook]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(hook))  # type: ignore[arg-type]


async def _ask_all(
    addons: addonmanager.AddonManager, name: str, arguments: Sequence[object], *, is_in_task: bool
) -> None:
    for addon in addons.chain:
        try:
            if hasattr(addon, "addons"):
                members = addonmanager.traverse([addon])
            elif hasattr(addon, name):
                members = (addon,)
            else:
                continue
            for member in members:
                call = getattr(member, name, None)
                # A script may import a module of a hook's name.
                if call and not isinstance(call, ModuleType):
                    waited = call(*arguments)
                    if waited is not None and isawaitable(waited):
                        if not is_in_task:
                            await asyncio.sleep(0)
                        await waited
        except AddonHalt:
            return
        except OptionsError:
            raise
        except Exception as fault:
            trace = addonmanager.cut_traceback(fault.__traceback__, _ask_all.__name__)
            logger.error("Addon error: %s", fault, exc_info=(type(fault), fault, trace))


async def wait_for_resume(flow: Flow) -> None:
    """Wait until nobody intercepts a flow any more."""
    await asyncio.sleep(0)
    await flow.wait_for_resume()
