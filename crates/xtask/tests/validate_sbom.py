"""Holds the file in $SBOM to the strict JSON schema of CycloneDX 1.5."""

import os
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

with open(os.environ["SBOM"], encoding="utf-8") as file:
    problem = JsonStrictValidator(SchemaVersion.V1_5).validate_str(file.read())
if problem:
    sys.exit(f"not valid: {problem}")
print("valid")
