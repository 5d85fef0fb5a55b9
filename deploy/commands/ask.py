"""`ouzel ask`."""

import click

from deploy.commands.parameters import Id, Real
from deploy.local.terminal import Terminal, say_json
from schemas.limits import MAX_LIST_ENTRIES

ID = Id()


@click.command()
@click.argument("user", type=ID)
@click.option(
    "--url",
    metavar="URL",
    type=ID,
    default="http://127.0.0.1:6066",
    show_default=True,
    help="Address of a worker with OUZEL_WEB_API=on; any worker of the group will do.",
)
@click.option("--scene", metavar="SCENE", type=ID, show_default="that of the last list", help="Scene of the list.")
@click.option(
    "--count",
    metavar="N",
    type=click.IntRange(1, MAX_LIST_ENTRIES),
    show_default="the worker's",
    help="At most N entries.",
)
@click.option("--json", "in_json", is_flag=True, help="Print the list as a line of JSON, as the API sends it.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=Real(min=0.1, max=600),
    default=10.0,
    show_default=True,
    help="Give up when the worker does not answer for this long.",
)
@click.pass_context
def ask(
    context: click.Context, user: str, url: str, scene: str | None, count: int | None, in_json: bool, timeout: float
) -> None:
    """Print a user's list, from a worker's HTTP API.

    USER is the id used in the events. With "-", it is read from standard input, which keeps it out of process lists.

    It is the last published list, or one made now, for a user or a scene that the worker holds none of. The token is
    read from OUZEL_WEB_TOKEN.
    """
    from deploy.api.client import recommendations
    from deploy.api.list_table import printed
    from deploy.errors import DeployError
    from streams.settings import read_settings

    if user == "-":
        user = next(ID.read(context), "")
    if not user:
        raise DeployError("the user's id is empty: give the id that is used in the events.")
    token = read_settings().web.token
    found = recommendations(url, user, scene=scene, count=count, token=token, timeout=timeout)
    if in_json:
        say_json(found.json.decode())
    else:
        Terminal().print(printed(found.list))
