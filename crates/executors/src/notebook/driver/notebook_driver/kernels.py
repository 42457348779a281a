"""Which kernel executes a notebook. Notebooks name the kernels of the machine on which they were written (ArcGISPro,
conda-env-..., python2): one in Python is executed on the Python that is here."""

import os
import platform
import re

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from .events import Refused, note

PYTHON = re.compile(r"(i|c|micro)?(python|py)[ \d.()]*(\(ipykernel\))?", re.IGNORECASE)
# How kernels of other languages are called, where a notebook tells nothing but its kernel's name.
OTHER_KERNELS = re.compile(
    r"(ir|irkernel|r|xr|julia|ijulia|javascript|js|jslab|typescript|tslab|deno|bash|zsh|sos|xcpp\d*|c\+\+\d*|cpp|go|"
    r"gophernotes|rust|evcxr|scala|almond|spylon|java|ijava|kotlin|\.?net|c#|csharp|f#|fsharp|powershell|pwsh|octave|"
    r"matlab|sas|stata|nbstata|ruby|iruby|perl|iperl|php|lua|haskell|ihaskell|ocaml|sql|xsqlite|wolfram\w*|cobol|fortran|"
    r"sparkr?|spark-scala|sagemath)([-_. ]?\d.*|[-_ ].*)?",
    re.IGNORECASE,
)
LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernel_launcher.py")


class Kernels(KernelSpecManager):
    """The installed kernels; ipykernel is started so that it loses no output."""

    def get_kernel_spec(self, kernel_name):
        spec = super().get_kernel_spec(kernel_name)
        for at in range(len(spec.argv) - 1):
            if spec.argv[at] == "-m" and spec.argv[at + 1] in ("ipykernel_launcher", "ipykernel"):
                spec.argv[at : at + 2] = [LAUNCHER]
                break
        return spec


def object_in(metadata, name):
    value = metadata.get(name)
    return value if isinstance(value, dict) else {}


def kernel_name(metadata):
    """As the notebook says; none where it says nothing."""
    named = [object_in(metadata, "kernelspec").get("name"), object_in(metadata, "kernel_info").get("name"),
             metadata.get("kernelspec")]
    return next((name.strip() for name in named if isinstance(name, str) and name.strip()), None)


def language(metadata):
    """The notebook's language as it says; none where it does not."""
    spec, info = object_in(metadata, "kernelspec"), object_in(metadata, "language_info")
    named = [spec.get("language"), info.get("name"), metadata.get("language")]
    if isinstance(info.get("file_extension"), str) and info["file_extension"].strip().lower() in (".py", "py"):
        named.append("python")
    return next((name.strip() for name in named if isinstance(name, str) and name.strip()), None)


def is_python(metadata):
    spoken = language(metadata)
    if spoken is not None:
        return PYTHON.fullmatch(spoken) is not None
    name = kernel_name(metadata)
    return name is None or OTHER_KERNELS.fullmatch(name) is None


def choose_kernel(metadata, kernels):
    """The name of the installed kernel that executes the notebook."""
    name, installed = kernel_name(metadata), sorted(kernels.find_kernel_specs())
    if name is not None and has(kernels, name):
        return name
    if not is_python(metadata):
        known, spoken = ", ".join(installed) or "none", language(metadata)
        spoken = f", for {spoken}," if spoken else ""
        raise Refused(f"the notebook's kernel {name or spoken!r}{spoken} is not installed (installed: {known})")
    python = "python3" if has(kernels, "python3") else next(iter(installed), None)
    if python is None:
        raise Refused("no kernel is installed for Python (pip install ipykernel)")
    said = "names no kernel" if name is None else f"names the kernel {name[:80]!r}, which is not installed"
    note(f"the notebook {said}: it is executed with Python {platform.python_version()} ({python})")
    return python


def has(kernels, name):
    try:
        kernels.get_kernel_spec(name)
    except (NoSuchKernel, OSError, ValueError):
        return False
    return True
