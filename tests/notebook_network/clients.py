"""A notebook's cell: each of its clients gets to what is listed, and is refused what is not. Prints what passed."""

import asyncio
import concurrent.futures
import getpass
import os
import re
import smtplib
import socket
import subprocess
import sys
import warnings
import webbrowser

warnings.filterwarnings("ignore")

import aiohttp  # noqa: E402
import psycopg  # noqa: E402
import rasterio  # noqa: E402
import requests  # noqa: E402
from arcgis.gis import GIS  # noqa: E402

WEB = f"http://127.0.0.1:{os.environ['WEB']}"
UNLISTED = f"http://127.0.0.1:{os.environ['UNLISTED']}"
MAIL, DATABASE = int(os.environ["MAIL"]), int(os.environ["DATABASE"])
ADMIN = int(os.environ["ADMIN"])
PASSWORD = os.environ["PASSWORD"]
PROXY = os.environ["http_proxy"]


def fails(act, *errors):
    try:
        found = act()
    except errors as error:
        return str(error)
    raise AssertionError(f"it was let through: {found}")


def home():
    assert GIS("home").users.me.username == "admin"


def portal():
    url = GIS("home").url
    assert GIS(url, "admin", PASSWORD, verify_cert=False).users.me.username == "admin"
    assert GIS(url, "admin", PASSWORD, use_gen_token=True, verify_cert=False).users.me.username == "admin"
    assert GIS(url, verify_cert=False).users.me is None, "as nobody"


class Person:
    """Signs in where a browser is opened, and reads the code that the page shows."""

    def open_new(self, url):
        browser = requests.Session()
        browser.verify = browser.trust_env = False
        page = browser.get(url, timeout=30).text
        state = re.search(r'"oauth_state":\s*"([0-9a-f]+)"', page).group(1)
        form = {"oauth_state": state, "username": "admin", "password": PASSWORD}
        sign_in = url.split("/sharing/")[0] + "/sharing/oauth2/signin"
        shown = browser.post(sign_in, data=form, timeout=30).text
        self.code = re.search("<title>SUCCESS code=(.+?)</title>", shown).group(1)
        return True


def with_a_client_id():
    url, person = GIS("home").url, Person()
    assert GIS(url, "admin", PASSWORD, client_id="desk", verify_cert=False).users.me.username == "admin"
    webbrowser.open_new, getpass.getpass = person.open_new, lambda _: person.code
    assert GIS(url, client_id="desk", verify_cert=False).users.me.username == "admin"


def with_requests():
    assert requests.get(f"{WEB}/hello", timeout=20).text == "hello"
    through = {"http": PROXY, "https": PROXY}
    session = requests.Session()
    session.trust_env = False
    assert session.get(f"{WEB}/hello", timeout=20).text == "hello", "without a proxy"
    session.proxies = through
    assert session.get(f"{WEB}/hello", timeout=20).text == "hello", "with one"
    refused = requests.get("http://10.1.2.3/", timeout=20)
    assert refused.status_code == 403 and "[notebook] reach: add tcp://10.1.2.3:80" in refused.text, refused.text
    told = fails(lambda: requests.get("https://169.254.169.254/", timeout=20), requests.RequestException)
    assert "[notebook] reach: add tcp://169.254.169.254:443" in told, told
    fails(lambda: requests.get(f"{UNLISTED}/hello", timeout=20), requests.RequestException)


def with_aiohttp():
    async def ask(url):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    def get(url):
        # A kernel's own loop runs already.
        with concurrent.futures.ThreadPoolExecutor() as thread:
            return thread.submit(asyncio.run, ask(url)).result()

    assert get(f"{WEB}/hello") == "hello"
    assert get(f"{WEB.replace('127.0.0.1', 'localhost')}/hello") == "hello"
    fails(lambda: get(f"{UNLISTED}/hello"), aiohttp.ClientError)
    fails(lambda: get("http://inward.internal/"), aiohttp.ClientError)


def with_pip():
    install = [sys.executable, "-m", "pip", "install", "--target", "packages", "--quiet", "tiny"]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, "packages")
    import tiny

    assert tiny.SIZE == "tiny"


def with_psycopg():
    where = f"host=127.0.0.1 port={DATABASE} dbname=rivers user=anna connect_timeout=20"
    with psycopg.connect(where, autocommit=True) as connection:
        assert connection.execute("select 42").fetchone() == ("42",)
    fails(lambda: psycopg.connect(where.replace(str(DATABASE), "5432")), psycopg.OperationalError)


def with_smtplib():
    with smtplib.SMTP("127.0.0.1", MAIL, timeout=20) as mail:
        assert mail.sendmail("anna@example.com", ["bob@example.com"], "Subject: rivers\n\nhigh\n") == {}
    fails(lambda: smtplib.SMTP("127.0.0.1", 25, timeout=20), OSError)


def with_vsicurl():
    for settings in ({}, {"GDAL_HTTP_PROXY": PROXY}):
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", **settings):
            with rasterio.open(f"/vsicurl/{WEB}/rivers.tif") as raster:
                assert (raster.read(1) == 42).all()
    fails(lambda: rasterio.open(f"/vsicurl/{UNLISTED}/rivers.tif"), rasterio.errors.RasterioIOError)


def what_is_isochrones_is_out_of_reach():
    fails(lambda: socket.create_connection(("127.0.0.1", ADMIN), 20), OSError)
    through = {"http": PROXY}
    session = requests.Session()
    session.trust_env, session.proxies = False, through
    for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f.1"):
        answer = session.put(f"http://{host}:{ADMIN}/log-filter", data="off", timeout=20)
        assert answer.status_code == 403, (host, answer.status_code)


for check in (home, portal, with_a_client_id, with_requests, with_aiohttp, with_pip, with_psycopg, with_smtplib,
              with_vsicurl, what_is_isochrones_is_out_of_reach):
    check()
    print("ok", check.__name__, flush=True)
