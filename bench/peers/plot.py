"""Charts, by gnuplot (package gnuplot-nox)."""

import os
import subprocess
import sys

HEAD = """set terminal {terminal} size 900,480
set output "{output}"
set grid ytics
set title "{title}"
set ylabel "{unit}"
"""


def draw(folder, kind, name, title, unit, script, rows):
    """Write FOLDER/NAME.KIND from rows of tab-separated columns, which the script calls $data."""
    terminal = {"svg": "svg", "png": "pngcairo"}[kind]
    output = os.path.join(folder, f"{name}.{kind}")
    data = "\n".join("\t".join(map(str, row)) for row in rows)
    text = (f'$data << END\n{data}\nEND\nset datafile separator "\\t"\n'
            + HEAD.format(terminal=terminal, output=output, title=title, unit=unit) + script)
    try:
        done = subprocess.run(["gnuplot"], input=text, text=True, capture_output=True, check=False)
    except OSError as error:
        sys.exit(f"gnuplot: {error.strerror} (package gnuplot-nox)")
    if done.returncode != 0:
        sys.exit(f"{output}: {done.stderr}")
    print(output)
