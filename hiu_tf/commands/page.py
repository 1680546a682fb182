"""The command `hiu page`: its options, and the function that runs it."""

from contextlib import suppress

from hiu_tf.commands import values


def add_page(commands) -> None:
    """Adds the command to the parsers of `hiu`."""
    page = commands.add_parser(
        "page",
        help="write a page that finds hands in the browser",
        description="Writes a folder of files that any static host can serve: pictures and camera, computed in the "
        "browser, nothing sent anywhere. npm fetches LiteRT.js and three.js once (docs/page.md).",
    )
    page.add_argument("--out", default="site", help="folder for the page (default: site); an old page is replaced")
    page.add_argument(
        "--serve", nargs="?", type=values.port, const=8765, metavar="PORT",
        help="then show it on this machine until Ctrl-C (default port %(const)d)",
    )  # fmt: skip
    page.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run_page(args) -> int:
    """Builds the page and, with --serve, serves it. Returns the exit code."""
    from hiu_tf.web.build import build_site, size_mb  # imported here so that `hiu --help` stays fast
    from hiu_tf.web.serve import address, open_server

    site = build_site(args.out)
    print(
        f"{args.out}: {size_mb(site):.0f} MB; any static host can serve it (HTTPS, so that browsers allow the camera)"
    )
    if args.serve is None:
        print(f"look at it: hiu page --out {args.out} --serve")
        return 0
    with open_server(site, args.serve) as server, suppress(KeyboardInterrupt):  # the normal way to end it
        print(f"{address(server)} (Ctrl-C ends)", flush=True)
        server.serve_forever()
    return 0
