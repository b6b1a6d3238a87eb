"""Starts the launcher: ``python -I -S boot.py``.

The launcher needs a few small modules and the standard library. The packages above them would
load far more, so they stand in ``sys.modules`` as bare names that only know their folders.
"""

import sys
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":
    here = Path(__file__).parent
    for name, folder in (
        ("weft", here.parent.parent),
        ("weft.tools", here.parent),
        ("weft.tools.sandbox", here),
    ):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    from weft.tools.sandbox.launcher import main  # only now can it be found

    main()
