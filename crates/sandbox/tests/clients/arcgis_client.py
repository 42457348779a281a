"""The toolboxes of the ArcGIS API for Python against the simulated GIS server, as its users call them.

Each check is a function; its name is printed when it has passed. Anything unexpected ends the program.
"""

import inspect
import math
import os
import time
import warnings

# Of a server without HTTPS.
warnings.filterwarnings("ignore")

from arcgis.auth import EsriSession, EsriUserTokenAuth  # noqa: E402
from arcgis.features import FeatureSet  # noqa: E402
from arcgis.geoprocessing import LinearUnit, import_toolbox  # noqa: E402

SERVICES = os.environ["SERVICES_URL"]
SECURED = os.environ["SECURED_SERVICES_URL"]
TROUBLED = os.environ["TROUBLED_SERVICES_URL"]
# Its sign-ins insist on HTTPS, which the simulated servers don't have.
TOKEN = os.environ["PORTAL_TOKEN"]
POINTS = {
    "geometryType": "esriGeometryPoint",
    "spatialReference": {"wkid": 3857},
    "fields": [{"name": "id", "type": "esriFieldTypeInteger", "alias": "id"}],
    "features": [
        {"geometry": {"x": 0, "y": 0}, "attributes": {"id": 1}},
        {"geometry": {"x": 9000, "y": 0}, "attributes": {"id": 2}},
    ],
}


def toolbox(name="Tools", services=SERVICES, gis=None):
    return import_toolbox(f"{services}/{name}/GPServer", gis=gis)


def until(what, look, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if look():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def imports_a_toolbox():
    tools = toolbox()
    for name in ("buffer", "slow", "stubborn", "broken", "silent"):
        assert callable(getattr(tools, name)), name
    parameters = inspect.signature(tools.buffer).parameters
    names = ["input_features", "distance", "gis", "future", "estimate"]
    assert list(parameters) == names, parameters
    assert [parameters[name].annotation for name in names[:2]] == ["FeatureSet", "LinearUnit"], parameters
    assert inspect.signature(tools.buffer).return_annotation == "FeatureSet"
    assert inspect.signature(tools.slow).parameters["seconds"].default == 0.2
    assert "Required parameter" in tools.buffer.__doc__


def buffers_features():
    made = toolbox().buffer(FeatureSet.from_dict(POINTS), LinearUnit(500, "Meters"))
    assert isinstance(made, FeatureSet), made
    assert made.geometry_type == "esriGeometryPolygon" and made.spatial_reference["wkid"] == 3857, made
    assert [feature.attributes["id"] for feature in made.features] == [1, 2], made
    ring = made.features[1].geometry["rings"][0]
    assert len(ring) > 8
    assert all(abs(math.hypot(x - 9000, y) - 500) < 1 for x, y in ring), ring


def waits_with_what_is_the_default():
    assert toolbox().slow() == 0.2
    assert toolbox().slow(seconds=0.4) == 0.4


def follows_a_job():
    job = toolbox().slow(seconds=2, future=True)
    assert job.task == "Slow" and not job.done() and not job.cancelled(), job
    until("the job to execute", lambda: job.status == "esriJobExecuting")
    kinds = [message["type"] for message in job.messages]
    assert kinds == ["esriJobMessageTypeInformative", "esriJobMessageTypeWarning"], kinds
    assert job.result() == 2 and job.done()
    assert job.status == "esriJobSucceeded"


def is_told_why_a_job_failed():
    for call in (toolbox().broken, lambda: toolbox().broken(future=True).result()):
        try:
            answer = call()
        except Exception as error:  # The client has no class of its own for it.
            assert "Job failed" in str(error) and "ERROR 000732" in str(error), error
            continue
        raise AssertionError(f"it did not fail: {answer}")


def cancels_a_job():
    job = toolbox().slow(seconds=60, future=True)
    until("the job to execute", lambda: job.status == "esriJobExecuting")
    assert job.cancel() is True and job.cancelled()
    until("the job to be cancelled", lambda: job.status == "esriJobCancelled")
    assert job.result() is None and job.cancel() is False


def executes_at_once():
    assert toolbox("AtOnce").instant("a & b") == "a & b"


def asks_again_after_what_goes_wrong_on_the_way():
    assert toolbox(services=TROUBLED).slow(seconds=1.5) == 1.5


def reaches_a_server_that_wants_tokens():
    url = f"{SECURED}/Tools/GPServer"
    for auth, code in ((None, 499), (EsriUserTokenAuth("spoilt"), 498)):
        answer = EsriSession(auth=auth).get(url, params={"f": "json"}).json()
        assert answer["error"]["code"] == code, answer
    session = EsriSession(auth=EsriUserTokenAuth(TOKEN))
    assert toolbox(services=SECURED, gis=session).slow(seconds=0.3, gis=session) == 0.3


CHECKS = [
    imports_a_toolbox,
    buffers_features,
    waits_with_what_is_the_default,
    follows_a_job,
    is_told_why_a_job_failed,
    cancels_a_job,
    executes_at_once,
    asks_again_after_what_goes_wrong_on_the_way,
    reaches_a_server_that_wants_tokens,
]

for check in CHECKS:
    check()
    print("ok", check.__name__, flush=True)
