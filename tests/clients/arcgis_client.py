"""The ArcGIS API for Python against Isochrone, as its users call it.

Each check is a function; its name is printed when it has passed. Anything unexpected ends the program.
"""

import datetime
import getpass
import json
import os
import re
import sys
import tempfile
import time
import warnings
import webbrowser

# Of a certificate that signs itself.
warnings.filterwarnings("ignore")

# They would count more than what the client is told of certificates.
for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
    os.environ.pop(name, None)

import certifi  # noqa: E402

# OAuth in 2.3.1 checks certificates whatever it is told: the portal's is trusted here, as an authority's would be.
certifi.where = lambda: os.environ["PORTAL_CERTIFICATE"]

import requests  # noqa: E402
from arcgis.gis import GIS  # noqa: E402

URL = os.environ["PORTAL_URL"]
PASSWORD = os.environ["PORTAL_PASSWORD"]
KEY = os.environ["PORTAL_API_KEY"]
NOTEBOOK = os.environ["NOTEBOOK_ITEM"]
NOON = "0 12 * * ?"
ACTIVITY = {
    "reportType": "org",
    "reportSubType": "activity",
    "timeDuration": "weekly",
}


def signed_in(user="admin", **how):
    return GIS(URL, user, PASSWORD, verify_cert=False, **how)


def refused(code, call):
    """What the client says of an answer with this error code."""
    try:
        answer = call()
    except Exception as error:  # The client has no class of its own for it.
        assert f"(Error Code: {code})" in str(error), error
        return str(error)
    raise AssertionError(f"not refused: {answer}")


def until(what, look, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


def signs_in_with_user_and_password():
    for check in (signed_in(), GIS(URL.removesuffix("/portal"), "bob", PASSWORD, verify_cert=False)):
        me = check.users.me
        assert me.username in ("admin", "bob") and check.properties.user.username == me.username
        assert me.tasks.count == 0, "each call carries the token"


def signs_in_with_a_token_request():
    gis = signed_in(use_gen_token=True)
    assert gis.users.me.username == "admin"
    assert gis.properties.portalMode == "singletenant"


def signs_in_with_a_token():
    form = {"username": "admin", "password": PASSWORD, "client": "referer", "referer": "http", "f": "json"}
    token = requests.post(f"{URL}/sharing/rest/generateToken", data=form, verify=False, timeout=30).json()
    gis = GIS(URL, token=token["token"], verify_cert=False)
    assert gis.users.me.username == "admin"


def signs_in_with_an_api_key():
    gis = GIS(URL, api_key=KEY, verify_cert=False)
    assert gis.properties.user.username == "admin", gis.properties.user
    found = gis._con.get(f"{URL}/sharing/rest/community/users/admin/tasks", {"f": "json"})
    assert found["total"] == 0, found
    spoilt = GIS(URL, api_key=KEY[:-1], verify_cert=False)
    assert "user" not in spoilt.properties, "the client drops it, goes on without, and gets nowhere"
    tasks = f"{URL}/sharing/rest/community/users/admin/tasks"
    refused(499, lambda: spoilt._con.get(tasks, {"f": "json"}))


def signs_in_with_a_client_id():
    gis = GIS(URL, "admin", PASSWORD, client_id="desk", verify_cert=False)
    assert gis.users.me.username == "admin"


class Person:
    """Signs in where a browser is opened, and reads the code that the page shows."""

    def open_new(self, url):
        browser = requests.Session()
        browser.verify = False
        page = browser.get(url, timeout=30).text
        state = re.search(r'"oauth_state":\s*"([0-9a-f]+)"', page).group(1)
        form = {"oauth_state": state, "username": "admin", "password": PASSWORD}
        shown = browser.post(f"{URL}/sharing/oauth2/signin", data=form, timeout=30).text
        self.code = re.search("<title>SUCCESS code=(.+?)</title>", shown).group(1)
        return True

    def types(self, _prompt):
        return self.code


def signs_in_with_a_client_id_and_a_browser():
    person = Person()
    webbrowser.open_new, getpass.getpass = person.open_new, person.types
    gis = GIS(URL, client_id="desk", verify_cert=False)
    assert gis.users.me.username == "admin"
    form = {"grant_type": "authorization_code", "client_id": "desk", "code": person.code}
    form["redirect_uri"] = "urn:ietf:wg:oauth:2.0:oob"
    again = requests.post(f"{URL}/sharing/rest/oauth2/token", data=form, verify=False, timeout=30).json()
    assert again["error"]["code"] == 400, "a code is of one use"


def is_at_home_in_a_notebook():
    # As a run's environment has it.
    form = {"username": "bob", "password": PASSWORD, "client": "requestip", "f": "json"}
    made = requests.post(f"{URL}/sharing/rest/generateToken", data=form, verify=False).json()
    home = {"privatePortalUrl": URL, "publicPortalUrl": URL, "referer": URL, "token": made["token"]}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(home, file)
        file.flush()
        os.environ["NB_AUTH_FILE"] = file.name
        assert GIS("home").users.me.username == "bob"
        del os.environ["NB_AUTH_FILE"]


def is_refused_with_a_wrong_password():
    for how in ({"use_gen_token": True}, {}):
        try:
            GIS(URL, "admin", "wrong", verify_cert=False, **how)
        except Exception as error:
            assert "Invalid username or password" in str(error), error
            continue
        raise AssertionError(f"not refused: {how}")


def makes_a_task_of_each_type():
    gis = signed_in(use_gen_token=True)
    tasks, notebook = gis.users.me.tasks, gis.content.get(NOTEBOOK)
    assert notebook.type == "Notebook" and notebook.owner == "admin", notebook
    scene = {"service_url": "https://gis.example.com/server/rest/services/Hosted/Scene/SceneServer"}
    tool = "https://gis.example.com/server/rest/services/Tools/GPServer/Count"
    made = [
        tasks.create(item=notebook, cron=NOON, task_type="ExecuteNotebook", parameters={"times": 3}),
        tasks.create(item=notebook, cron=NOON, task_type="UpdateInsightsWorkbook"),
        tasks.create(item=notebook, cron=NOON, task_type="ExecuteSceneCook", parameters=scene),
        tasks.create(item=notebook, cron=NOON, task_type="ExecuteWorkflowManager"),
        tasks.create(item=None, cron=NOON, task_type="ExecuteReport", parameters=ACTIVITY),
        tasks.create(item=notebook, cron=NOON, task_type="GPService", parameters={"n": 1}, task_url=tool),
    ]
    kinds = [task.properties["type"] for task in made]
    assert kinds == [
        "ExecuteNotebook",
        "UpdateInsightsWorkbook",
        "ExecuteSceneCook",
        "ExecuteWorkflowManager",
        "ExecuteReport",
        "GPService",
    ], kinds
    assert made[0].properties["parameters"]["notebookParameters"] == {"times": 3}, made[0].properties
    assert made[5].properties["taskUrl"] == tool, made[5].properties
    assert made[0].properties["maxOccurrences"] == 10, "what the client sends unless it is told otherwise"
    assert [task.properties["id"] for task in tasks.search(types="GPService")] == [made[5].properties["id"]]
    assert len(tasks.search(item=notebook)) == 5
    assert all(task.delete() for task in made)
    assert signed_in(use_gen_token=True).users.me.tasks.count == 0


def uploads_a_notebook_and_runs_it():
    gis = signed_in()
    path = os.environ["NOTEBOOK_FILE"]
    if hasattr(gis.content, "folders"):
        from arcgis.gis import ItemProperties, ItemTypeEnum

        properties = ItemProperties(title="Uploaded", item_type=ItemTypeEnum.NOTEBOOK, tags=["a", "b"])
        item = gis.content.folders.get().add(properties, file=path).result()
    else:
        item = gis.content.add({"title": "Uploaded", "type": "Notebook", "tags": "a,b"}, data=path)
    item = gis.content.get(item.id)
    assert (item.title, item.type, item.tags) == ("Uploaded", "Notebook", ["a", "b"]), item
    assert [found.id for found in gis.content.search("title:Uploaded", item_type="Notebook")] == [item.id]
    task = gis.users.me.tasks.create(item=item, cron=NOON, task_type="ExecuteNotebook")
    run_now(gis, task)
    run = until("the notebook to succeed", lambda: ended(task, "succeeded"), 300)
    assert run.properties["result"], run.properties
    assert task.delete() and item.update({"title": "renamed"})
    assert gis.content.get(item.id).title == "renamed"
    assert item.delete()


def run_now(gis, task):
    url = f"{URL}/sharing/rest/community/users/admin/tasks/{task.properties['id']}/run"
    asked = gis._con.post(url, {"f": "json"})
    assert asked["success"], asked


def ended(task, how):
    run = task.runs[0]
    assert run.properties["status"] in ("scheduled", "executing", how), run.properties
    return run if run.properties["status"] == how else None


def reads_and_changes_a_task():
    gis = signed_in(use_gen_token=True)
    tasks, notebook = gis.users.me.tasks, gis.content.get(NOTEBOOK)
    start = datetime.datetime.now() + datetime.timedelta(days=1)
    task = tasks.create(
        item=notebook,
        cron="0/30 8 ? * MON-FRI",
        task_type="ExecuteNotebook",
        occurences=7,
        start_date=start,
        end_date=start + datetime.timedelta(days=30),
        title="Zürich \u2014 täglich",
    )
    shown = task.properties
    cron = {"minute": "0/30", "hour": "8", "dayOfMonth": "?", "month": "*", "dayOfWeek": "MON-FRI"}
    assert dict(shown["cronSchedule"]) == cron, shown
    assert shown["title"] == "Zürich \u2014 täglich" and shown["maxOccurrences"] == 7, shown
    assert abs(shown["startDate"] - start.timestamp() * 1000) < 1000, shown
    assert task.update(title="renamed", cron="15 6 * * ?", occurences=3)
    again = tasks.search(active=True)[0].properties
    assert (again["title"], again["maxOccurrences"]) == ("renamed", 3), again
    assert again["cronSchedule"]["minute"] == "15", again
    assert task.stop() and tasks.search(active=True) == [] and len(tasks.search(active=False)) == 1
    assert task.start() and len(tasks.search(active=True)) == 1
    assert task.enable(False) and task.enable(True)
    assert task.runs == []
    assert task.delete()
    refused(400, task.delete)


def is_told_what_is_wrong():
    gis = signed_in(use_gen_token=True)
    tasks, notebook = gis.users.me.tasks, gis.content.get(NOTEBOOK)

    def create(**other):
        return lambda: tasks.create(**{"item": notebook, "cron": NOON, "task_type": "ExecuteNotebook", **other})

    assert "minute" in refused(400, create(cron="61 * * * ?"))
    assert "type" in refused(400, create(task_type="ExecuteNothing"))
    assert "parameters" in refused(400, create(task_type="ExecuteSceneCook"))
    assert gis.users.me.tasks.count == 0, "nothing was made"


def pages_through_many_tasks():
    gis = signed_in(use_gen_token=True)
    tasks = gis.users.me.tasks
    made = [tasks.create(item=None, cron=NOON, task_type="ExecuteReport", parameters=ACTIVITY) for _ in range(230)]
    tasks = signed_in(use_gen_token=True).users.me.tasks
    ids = [task.properties["id"] for task in tasks.all]
    assert tasks.count == 230 and sorted(ids) == sorted(task.properties["id"] for task in made)
    searched = [task.properties["id"] for task in tasks.search(types="ExecuteReport")]
    assert searched == ids, "the second page asks the URL of a task"
    for task in made:
        assert task.delete()


def follows_a_run():
    gis = signed_in(use_gen_token=True)
    task = gis.users.me.tasks.create(item=None, cron=NOON, task_type="ExecuteReport", parameters=ACTIVITY)
    run_now(gis, task)
    run = until("the run to succeed", lambda: ended(task, "succeeded"))
    assert run.properties["result"] and run.properties["task"]["id"] == task.properties["id"], run.properties
    assert run.update(status="failed", description="looked at")
    assert run.properties["status"] == "failed" and run.properties["result"] == "looked at", run.properties
    assert run.update(description="looked at twice")
    assert run.properties["status"] == "failed" and run.properties["result"] == "looked at twice"
    assert run.delete() and task.runs == []
    assert task.delete()


def keeps_users_apart():
    admin, bob = signed_in(use_gen_token=True), signed_in("bob", use_gen_token=True)
    task = admin.users.me.tasks.create(item=None, cron=NOON, task_type="ExecuteReport", parameters=ACTIVITY)
    of_admin = f"{URL}/sharing/rest/community/users/admin/tasks"
    refused(403, lambda: bob._con.get(of_admin, {"f": "json"}))
    refused(403, lambda: bob._con.post(f"{of_admin}/{task.properties['id']}/delete", {"f": "json"}))
    own = bob.users.me.tasks.create(item=None, cron=NOON, task_type="ExecuteReport", parameters=ACTIVITY)
    assert bob.users.me.tasks.count == 1
    def ids(tasks):
        return sorted(task.properties["id"] for task in tasks)

    scheduled = admin.admin.scheduled_tasks
    assert ids(scheduled()) == ids([own, task]), "an administrator sees them all"
    assert ids(scheduled(user=admin.users.get("bob"))) == ids([own])
    assert ids(scheduled(types="ExecuteNotebook")) == []
    assert own.delete() and task.delete()


CHECKS = [
    signs_in_with_user_and_password,
    signs_in_with_a_token_request,
    signs_in_with_a_token,
    signs_in_with_an_api_key,
    signs_in_with_a_client_id,
    signs_in_with_a_client_id_and_a_browser,
    is_at_home_in_a_notebook,
    is_refused_with_a_wrong_password,
    makes_a_task_of_each_type,
    uploads_a_notebook_and_runs_it,
    reads_and_changes_a_task,
    is_told_what_is_wrong,
    pages_through_many_tasks,
    follows_a_run,
    keeps_users_apart,
]

for check in CHECKS:
    check()
    print("ok", check.__name__, flush=True)
print(len(CHECKS), "checks passed", file=sys.stderr)
