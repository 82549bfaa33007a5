"""Downloads a source archive with pip's index settings and network client, and builds nothing.

`pip download` would run the archive's build script to learn its metadata. This runs under
`python -I -c` and asks pip only where the file is and for its bytes; the caller checks them.
"""

import logging
import sys

name, file_name, limit, target = sys.argv[1:]
limit = int(limit)


def fail(reason):
    lines = str(reason).split("\n")
    sys.exit("ERROR: " + lines[0])


# Why an index could not be reached.
logging.basicConfig(level=logging.WARNING, format="%(message)s")
logging.getLogger("pip._internal.index.collector").setLevel(logging.DEBUG)

try:
    from pip._internal.commands import create_command

    command = create_command("download")
    options, _ = command.parse_args(["--no-input", "--no-deps", "--no-binary", name, name])
    open_session, find = command.get_default_session, command._build_package_finder
except Exception as error:
    fail("pip does not work as expected (%s): install a newer pip" % error)

try:
    with command.main_context():
        session = open_session(options)
        finder = find(options=options, session=session, ignore_requires_python=True)
        candidates = finder.find_all_candidates(name)
        links = [one.link for one in candidates if one.link.filename == file_name]
        if not links:
            fail("No matching distribution found: the package index does not list " + file_name)
        address = links[0].url.split("#")[0]
        # As stored: a server that calls the archive compressed must not have it unpacked.
        response = session.get(address, headers={"Accept-Encoding": "identity"}, stream=True)
        response.raise_for_status()
        # More than this cannot have the right hash.
        with open(target, "xb") as file:
            left = limit + 1
            while left > 0:
                chunk = response.raw.read(min(left, 1 << 16))
                if not chunk:
                    break
                file.write(chunk)
                left -= len(chunk)
except Exception as error:
    fail("%s: %s" % (type(error).__name__, error))
