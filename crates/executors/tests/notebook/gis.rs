//! Notebooks as GIS people schedule them, with what every Python has.

use isochrone_domain::Reason;

use crate::bench::{Bench, cell, notebook, tagged};
use crate::table::{End, Row, check};

const POINTS: &str = "import csv, io, json\n\
    text = 'id,name,lon,lat,depth\\n1,Aare,7.45,46.95,2.5\\n2,Rhein,7.59,47.56,6.1\\n3,Limmat,8.54,47.37,\\n'\n\
    rows = list(csv.DictReader(io.StringIO(text)))\n\
    features = [{'type': 'Feature', 'properties': {'name': row['name']},\n             \
                 'geometry': {'type': 'Point', 'coordinates': [float(row['lon']), float(row['lat'])]}} for row in rows]\n\
    collection = {'type': 'FeatureCollection', 'features': features}";

#[tokio::test]
async fn usual_gis_work() {
    let cells = |sources: &[&str]| {
        Bench::new(notebook(&sources.iter().map(|source| cell(source)).collect::<Vec<_>>()))
    };
    let report = Bench::new(notebook(&[
        tagged(&["parameters"], "county = 'none'\nlimit: int = 10"),
        cell(
            "from datetime import date\nprint(f'report for {county}, {limit} rows, {date.today().year > 2000}')",
        ),
    ]));
    check(vec![
        Row::new("CSV to GeoJSON", cells(&[POINTS, "open('stations.geojson', 'w').write(json.dumps(collection))"]),
            End::Succeeds).logs("files: kept stations.geojson"),
        Row::new("a gap in the data", cells(&[POINTS, "sum(float(row['depth']) for row in rows)"]),
            End::Fails(Reason::ExecutionError, "ValueError: could not convert string to float: ''")),
        Row::new("area of a polygon", cells(&["ring = [(0, 0), (4, 0), (4, 3), (0, 3), (0, 0)]\n\
            area = abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(ring, ring[1:]))) / 2", "area"]),
            End::Succeeds).logs("12.0"),
        Row::new("a table of features", cells(&["import sqlite3\nbase = sqlite3.connect('layers.gpkg')\n\
            base.execute('create table gpkg_contents (table_name text, data_type text)')\n\
            base.executemany('insert into gpkg_contents values (?, ?)', [('parcels', 'features'), ('roads', 'features')])\n\
            base.commit()", "base.execute('select count(*) from gpkg_contents').fetchone()"]),
            End::Succeeds).logs("(2,)").logs("files: kept layers.gpkg"),
        Row::new("KML read", cells(&["from xml.etree import ElementTree\n\
            kml = '<kml xmlns=\"http://www.opengis.net/kml/2.2\"><Placemark><name>Bern</name></Placemark></kml>'\n\
            names = [e.text for e in ElementTree.fromstring(kml).iter('{http://www.opengis.net/kml/2.2}name')]\nprint(names)"]),
            End::Succeeds).logs("['Bern']"),
        Row::new("a report by parameters", report.parameters(r#"{"notebookParameters": {"county": "Bern", "limit": 5}}"#),
            End::Succeeds).logs("report for Bern, 5 rows, True"),
        Row::new("a map for people", cells(&["from IPython.display import HTML, display\n\
            display(HTML('<b>map</b>'))\nprint('drawn')"]), End::Succeeds).logs("drawn"),
        Row::new("nothing new, leaving", cells(&["new = []\nif not new:\n    print('nothing new'); exit()", "publish()"]),
            End::Succeeds).logs("nothing new"),
        Row::new("logging", cells(&["import logging\nlogging.basicConfig(level=logging.INFO)\n\
            logging.getLogger('sync').info('3 features updated')"]), End::Succeeds).logs("3 features updated"),
        Row::new("workers", cells(&["from concurrent.futures import ThreadPoolExecutor\n\
            with ThreadPoolExecutor(4) as pool: print('tiles', sum(pool.map(lambda z: 4 ** z, range(5))))"]),
            End::Succeeds).logs("tiles 341"),
        Row::new("await", cells(&["import asyncio\nasync def fetch(n):\n    await asyncio.sleep(0.01); return n\n\
            print('fetched', await asyncio.gather(fetch(1), fetch(2)))"]), End::Succeeds).logs("fetched [1, 2]"),
        Row::new("arcpy", cells(&["import arcpy"]), End::Fails(Reason::ExecutionError, "arcpy")),
    ])
    .await;
}
