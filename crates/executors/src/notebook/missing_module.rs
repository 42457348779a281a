//! What to do where a notebook's `import` finds nothing.

use super::config::Config;

/// A module's name is no longer.
const LONGEST: usize = 100;

/// Modules whose packages have other names.
const PACKAGES: [(&str, &str); 44] = [
    ("Crypto", "pycryptodome"),
    ("Levenshtein", "python-Levenshtein"),
    ("MySQLdb", "mysqlclient"),
    ("OpenSSL", "pyOpenSSL"),
    ("PIL", "pillow"),
    ("Xlib", "python-xlib"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("community", "python-louvain"),
    ("cv2", "opencv-python-headless"),
    ("cx_Oracle", "oracledb"),
    ("dateutil", "python-dateutil"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("ee", "earthengine-api"),
    ("faiss", "faiss-cpu"),
    ("fitz", "PyMuPDF"),
    ("gdal", "rasterio"),
    ("git", "GitPython"),
    ("gridfs", "pymongo"),
    ("jose", "python-jose"),
    ("jwt", "PyJWT"),
    ("ldap", "python-ldap"),
    ("magic", "python-magic"),
    ("markdown", "Markdown"),
    ("mpl_toolkits", "matplotlib"),
    ("nacl", "PyNaCl"),
    ("pkg_resources", "setuptools<81"),
    ("pptx", "python-pptx"),
    ("psycopg2", "psycopg2-binary"),
    ("pylab", "matplotlib"),
    ("pythonjsonlogger", "python-json-logger"),
    ("rest_framework", "djangorestframework"),
    ("serial", "pyserial"),
    ("shapefile", "pyshp"),
    ("skbio", "scikit-bio"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("slugify", "python-slugify"),
    ("snowflake", "snowflake-connector-python"),
    ("umap", "umap-learn"),
    ("usb", "pyusb"),
    ("yaml", "PyYAML"),
    ("zmq", "pyzmq"),
];

/// What Python had once.
const REMOVED: [&str; 16] = [
    "asynchat",
    "asyncore",
    "cgi",
    "cgitb",
    "chunk",
    "crypt",
    "distutils",
    "imghdr",
    "imp",
    "nntplib",
    "pipes",
    "smtpd",
    "sndhdr",
    "telnetlib",
    "uu",
    "xdrlib",
];

/// What to do about a cell's error, if it is of this kind; a sentence that goes on after the error.
pub(super) fn advice(ename: &str, evalue: &str, config: &Config) -> Option<String> {
    if ename == "ImportError" && evalue.contains("cannot open shared object file") {
        let library = evalue.split(':').next().filter(|name| name.contains(".so") && is_plain(name))?;
        return Some(format!(
            "a package needs the system's library {library}, which is not installed where the notebook ran{}",
            if library.starts_with("libGL") { " (opencv-python-headless needs none)" } else { "" }
        ));
    }
    if ename != "ModuleNotFoundError" {
        return None;
    }
    let module = evalue.strip_prefix("No module named ")?.split(['\'', '"']).nth(1)?;
    let module = module.split('.').next().filter(|name| is_plain(name))?;
    Some(match module {
        "arcpy" | "arcgisscripting" => format!(
            "{module} can't be installed from the package index: it comes with ArcGIS Pro and ArcGIS Server. Such \
             notebooks run at an ArcGIS Notebook Server ([notebook_server] server), or with the Python of an ArcGIS \
             Server on this machine ([notebook] python)"
        ),
        "osgeo" | "ogr" | "osr" => format!(
            "{module} is GDAL's, which the package index has without the library itself: {}; rasterio and pyogrio \
             bring GDAL with them; or let [notebook] python name a Python that has it (Debian, Ubuntu: python3-gdal)",
            install("rasterio", config)
        ),
        "qgis" => {
            "qgis comes with QGIS, and not from the package index: let [notebook] python name QGIS's Python"
                .to_owned()
        }
        "tkinter" | "_tkinter" => {
            "tkinter is for windows on a screen, which notebooks do not have here".to_owned()
        }
        "win32com" | "win32api" | "pythoncom" | "winreg" => format!("{module} is there on Windows only"),
        removed if REMOVED.contains(&removed) => {
            format!(
                "{removed} was part of Python once, and is no more: change the notebook, or let [notebook] python \
                     name an older Python"
            )
        }
        module => {
            let package = PACKAGES.iter().find(|(known, _)| *known == module);
            match package {
                Some((_, package)) => {
                    format!("the module {module} is in the package {package}: {}", install(package, config))
                }
                None => format!(
                    "if {module} is a package of the package index: {}",
                    install(&module.replace('_', "-"), config)
                ),
            }
        }
    })
}

fn install(package: &str, config: &Config) -> String {
    match &config.python {
        Some(python) => {
            format!("install it where notebooks run ({} -m pip install {package})", python.display())
        }
        None if config.item_requirements => format!(
            "add \"{package}\" to the notebook's metadata (isochrone.requirements), or have it added to [notebook] \
             packages"
        ),
        None => format!("have \"{package}\" added to [notebook] packages in Isochrone's configuration"),
    }
}

/// It is shown as it is.
fn is_plain(name: &str) -> bool {
    name.len() <= LONGEST
        && !name.is_empty()
        && name.chars().all(|c| c.is_alphanumeric() || "_-.+".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(module: &str, config: &Config) -> String {
        advice("ModuleNotFoundError", &format!("No module named '{module}'"), config).unwrap()
    }

    #[test]
    fn the_package_is_named_where_it_has_another_name() {
        let config = Config::default();
        for (module, package) in [
            ("cv2", "\"opencv-python-headless\""),
            ("PIL", "\"pillow\""),
            ("PIL.Image", "\"pillow\""),
            ("sklearn.cluster", "\"scikit-learn\""),
            ("yaml", "\"PyYAML\""),
            ("skimage", "\"scikit-image\""),
            ("bs4", "\"beautifulsoup4\""),
            ("geopandas", "\"geopandas\""),
            ("osgeo", "\"rasterio\""),
            ("some_thing", "\"some-thing\""),
        ] {
            let told = of(module, &config);
            assert!(told.contains(package) && told.contains("[notebook] packages"), "{told}");
        }
        for (module, words) in [
            ("arcpy", "ArcGIS Pro"),
            ("arcpy.sa", "can't be installed from the package index"),
            ("osgeo.gdal", "python3-gdal"),
            ("distutils", "part of Python once"),
            ("tkinter", "windows on a screen"),
        ] {
            assert!(of(module, &config).contains(words), "{}", of(module, &config));
        }
        assert!(PACKAGES.is_sorted() && REMOVED.is_sorted());
    }

    #[test]
    fn where_it_goes_depends_on_the_settings() {
        let allowed = Config { item_requirements: true, ..Config::default() };
        assert!(of("cv2", &allowed).contains("isochrone.requirements"));
        let own = Config { python: Some("/opt/python/bin/python".into()), ..Config::default() };
        assert!(of("cv2", &own).contains("/opt/python/bin/python -m pip install opencv-python-headless"));
    }

    #[test]
    fn other_errors_have_none() {
        let config = Config::default();
        for (ename, evalue) in [
            ("ValueError", "No module named 'a'"),
            ("ModuleNotFoundError", "I made this"),
            ("ModuleNotFoundError", "No module named 'a b; rm'"),
            ("ModuleNotFoundError", "No module named ''"),
            ("ImportError", "cannot import name 'a' from 'b'"),
        ] {
            assert_eq!(advice(ename, evalue, &config), None);
        }
        let library =
            advice("ImportError", "libGL.so.1: cannot open shared object file: No such file", &config);
        assert!(library.unwrap().contains("libGL.so.1"));
    }
}
