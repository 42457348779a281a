use super::*;
use ParameterKind::{Any, Array, Boolean, Integer, Number, Object, String as Text};

/// The names and kinds that are read, and whether there are no others.
fn of(source: &str) -> (Vec<(String, ParameterKind)>, bool) {
    let cell = read(source);
    (cell.parameters.into_iter().map(|one| (one.name, one.kind)).collect(), cell.complete)
}

fn complete(source: &str, expected: &[(&str, ParameterKind)]) {
    let expected: Vec<_> = expected.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
    assert_eq!(of(source), (expected, true), "{source}");
}

#[test]
fn literals_have_kinds() {
    complete(
        "a = 1; b = -2.5e3\nc = 'x # no comment'  # help\nd = True\ne = [1,\n  2]\nf = {'k': 1}\ng = None\n",
        &[
            ("a", Integer),
            ("b", Number),
            ("c", Text),
            ("d", Boolean),
            ("e", Array),
            ("f", Object),
            ("g", Any),
        ],
    );
    complete(
        "a = (1, 2)\nb = (1)\nc = {1, 2}\nd = {}\ne = ()\nf = 1_000\ng = 0xFF\nh = .5",
        &[
            ("a", Array),
            ("b", Integer),
            ("c", Array),
            ("d", Object),
            ("e", Array),
            ("f", Integer),
            ("g", Integer),
            ("h", Number),
        ],
    );
    complete(
        "a = '''x\n= 1'''\nb = r\"\\d\"\nc = f'{a}'\nd = 'x' 'y'\ne = b'x'\nf = \"it's\"\n",
        &[("a", Text), ("b", Text), ("c", Text), ("d", Text), ("e", Any), ("f", Text)],
    );
    complete(
        "a = 60 * 60\nb = today()\nc = [0] * 3\nd = 'x'.upper()\ne = x == y\n",
        &[("a", Any), ("b", Any), ("c", Any), ("d", Any), ("e", Any)],
    );
}

#[test]
fn annotations_and_type_comments_go_before_literals() {
    complete(
        "a: int = None\nb: float = 5\nc: Optional[str] = None\nd: 'list[int]' = x\ne: bool | None = None\nf: Path = 'x'\n\
         g = None  # type: int how many\nh: dict\n",
        &[
            ("a", Integer),
            ("b", Number),
            ("c", Text),
            ("d", Array),
            ("e", Boolean),
            ("f", Any),
            ("g", Integer),
            ("h", Object),
        ],
    );
    let cell = read("n = 5  # type: int how many\nlabel = 'a' # what it is called");
    let told: Vec<_> =
        cell.parameters.iter().map(|one| (one.default.as_deref(), one.help.as_deref())).collect();
    assert_eq!(told, [(Some("5"), Some("how many")), (Some("'a'"), Some("what it is called"))]);
}

#[test]
fn other_statements_set_what_they_set() {
    complete(
        "a = b = 1\nc, (d, *e) = 1, (2, 3)\n",
        &[("a", Integer), ("b", Integer), ("c", Any), ("d", Any), ("e", Any)],
    );
    complete(
        "import os\nfrom datetime import date as day\n\"\"\"words = 1\"\"\"\nprint('x = 1')\nassert 1 == 1\n",
        &[],
    );
    complete("a = 1\na = 'x'\nb = 1\nb = 2\nc += 1\nd.e = 1\nf[0] = 1\n", &[("a", Any), ("b", Integer)]);
    complete("a = 1 + \\\n  2\nb = dict(c=1)\nd = lambda e=1: e\n", &[("a", Any), ("b", Any), ("d", Any)]);
    complete("def f(a=1):\n    b: int = 1\n    return b\nc = 1\nclass D:\n    e = 1\n", &[("c", Integer)]);
    complete(
        "(a) = 1\n(b, c) = [d, e] = 1, 2\n",
        &[("a", Integer), ("b", Any), ("c", Any), ("d", Any), ("e", Any)],
    );
    complete("größe = 1\n_x = 2\n", &[("größe", Integer), ("_x", Integer)]);
}

#[test]
fn what_is_not_understood_makes_it_incomplete() {
    for source in [
        "if x:\n    a = 1\n",
        "for a in range(3): pass",
        "from x import *",
        "%run other.ipynb",
        "!ls",
        "globals()['a'] = 1",
        "print(a := 1)",
        "a = 'no end\n",
        "a = (1\n",
        "a = 1)\n",
    ] {
        assert!(!of(source).1, "{source}");
    }
    assert_eq!(of("x = 1\nif x:\n    a = 1\n").0.len(), 2);
}
