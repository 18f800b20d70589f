#!/bin/sh
# Rewrites the report next to this file: demo.html and demo.json. It takes about three minutes on two processors.
set -e
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
anyecg simulate --patients 800 --seed 20261122 --seconds 50 --out simulated-20261122 --quiet
anyecg validate demo --data simulated-20261122 --split all --hop 2 --robustness 24 --out report
cp report/validation.html "$here/demo.html"
cp report/validation.json "$here/demo.json"
