# Install PyTorch by the hashes of its files: the build without CUDA where pip is pointed at one (megabytes instead of
# gigabytes), else what the package index has, with what that needs. make calls it with PIP and PYTHON.
set -eu

if ! said=$($PIP -r locked/cpu.txt 2>&1); then
  case $said in
  *"DO NOT MATCH THE HASHES"*)
    echo "$said" >&2
    exit 1
    ;;
  esac # else there is no such build for this machine where pip looks
fi
$PIP -r locked/torch.txt # which is there already after the above
if $PYTHON -m pip show --disable-pip-version-check torch | grep -qE '^Requires:.*(cuda|nvidia)'; then
  $PIP -r locked/cuda.txt
fi
