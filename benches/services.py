"""Places of their own for benches, on the servers that the environment names."""

import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request


def with_last(url, last):
    return url.rsplit("/", 1)[0] + "/" + last


def virtual_host(name, method):
    """Makes (`PUT`) or removes (`DELETE`) a virtual host of RabbitMQ."""
    base = urllib.parse.urlsplit(os.environ["QUAESTOR_QUEUE_MANAGEMENT_URL"])
    url = f"{base.scheme}://{base.hostname}:{base.port}/api/vhosts/{name}"
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, url, base.username, base.password)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    request = urllib.request.Request(url, method=method, headers={"content-type": "application/json"})
    try:
        opener.open(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


def fresh(name):
    """An empty database and an empty virtual host of this name, as settings."""
    admin = os.environ["QUAESTOR_DATABASE_URL"]
    for sql in (f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}"):
        subprocess.run(["psql", "-q", admin, "-c", sql], check=True)
    virtual_host(name, "DELETE")
    virtual_host(name, "PUT")
    return {
        "QUAESTOR_DATABASE_URL": with_last(admin, name),
        "QUAESTOR_QUEUE_URL": with_last(os.environ["QUAESTOR_QUEUE_URL"], name),
    }
