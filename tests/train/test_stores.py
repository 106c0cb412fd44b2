"""Making the stores that a recipe trains on, in processes of their own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ENDLESS = """
import sys, time
from pathlib import Path
from cranpm.train import stores
from cranpm.train.recipe import read_recipe, recipe_path

def simulate(recipe, region, past, path):
    print("simulating", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    stores._simulate = simulate
    recipe, region = read_recipe(recipe_path("europe-sample-quick"))
    list(stores.make_stores(recipe, region, recipe.simulated.train[:1], Path(sys.argv[1])))
"""


def test_simulating_ends_when_the_training_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), str(tmp_path / "cache")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as training:
        assert training.stdout is not None and training.stdout.readline() == "simulating\n"
        training.send_signal(signal.SIGKILL)
        training.communicate(timeout=20)  # its output ends when every process that inherited it has
