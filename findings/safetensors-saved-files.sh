#!/usr/bin/env bash
# safetensors 0.8.0, beside 0.7.0: with what permissions save_file leaves a file, and what becomes of one that is there.
# Guess: as with any file that a program writes: permissions by the umask, those of a file that is there stay, and a link
#        is written through, to the file that it names.
# Seen:  up to 0.7.0 so. From 0.8.0 on the file is made beside and renamed: always rw------- (whatever the umask, and over a
#        file that was rw-rw-r--), and a link is replaced by a file of its own, while what it named stays as it was. A model
#        saved to a shared folder can no longer be read by those who share it, nor by a server under another user.
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cat >"$folder/save.py" <<'PY'
import os
import stat

import numpy as np
import safetensors
from safetensors.numpy import save_file

tensors = {"weight": np.zeros(3, dtype=np.float32)}


def mode(path):
    return stat.filemode(os.stat(path).st_mode)


os.umask(0o022)
os.mkdir(safetensors.__version__)
os.chdir(safetensors.__version__)
save_file(tensors, "new.safetensors")
open("old.safetensors", "w").close()
os.chmod("old.safetensors", 0o664)
save_file(tensors, "old.safetensors")
open("blob", "w").close()
os.symlink("blob", "link.safetensors")
save_file(tensors, "link.safetensors")
found = (mode("new.safetensors"), mode("old.safetensors"), os.path.islink("link.safetensors"), os.path.getsize("blob") > 0)
print("safetensors", safetensors.__version__, *found)
expected = {
    "0.7.0": ("-rw-r--r--", "-rw-rw-r--", True, True),
    "0.8.0": ("-rw-------", "-rw-------", False, False),
}
assert found == expected[safetensors.__version__], "this has changed"
PY
cd "$folder"
for version in 0.7.0 0.8.0; do
    "$folder/venv/bin/pip" install --quiet "safetensors==$version" "numpy==2.4.6"
    "$folder/venv/bin/python" save.py
done
