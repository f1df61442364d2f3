"""The relay's own process, apart from the AWS and Calven around it, so that it can be killed by itself.

Reads one line of JSON from standard input (`{"port": …, "urls": {…}, "resources": {…}, "base": …}`), serves,
prints `ready`, and ends when its input does.
"""

import json
import os
import sys

from localrun import environment, gateway
from localrun.aws import Aws, Resources
from localrun.run import about, background
from localrun.serve import Served, bind
from localrun.settings import Settings
from localrun.template import Template
from localrun.world import Urls


def main() -> None:
    """Serve until the input ends."""
    order = json.loads(sys.stdin.readline())
    urls, resources = Urls(**order["urls"]), Resources(**order["resources"])
    template, settings = Template(), Settings.model_validate({"RETRY_BASE_SECONDS": order["base"]})
    environment.prepare(os.environ, template)
    os.environ.update(environment.of_functions(settings, urls, resources))
    front = Served(gateway.create(template.routes, about(urls, resources, os.environ)), bind(order["port"]))
    front.start()
    for each in background(template, Aws(urls.aws), resources):
        each.start()
    print("ready", flush=True)
    while sys.stdin.readline():
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
