#!/bin/sh
# Publish two films and a like with kcat; values are JSON, and the part before the bar is the key.
#
#     examples/kcat.sh [BROKERS]
#
# Java clients and Ouzel use this partitioner too: all producers of a topic must use the same one.
set -eu
brokers=${1:-127.0.0.1:9092}

send() {
    kcat -P -b "$brokers" -t "$1" -K '|' -X partitioner=murmur2_random
}

send ouzel.items <<'ITEMS'
heat|{"id":"heat","title":"Heat (1995)","attributes":["crime","thriller"]}
ronin|{"id":"ronin","title":"Ronin (1998)","attributes":["crime","action"]}
ITEMS

id=$(date +%s%N)
echo "ann|{\"id\":\"$id\",\"user\":\"ann\",\"kind\":\"like\",\"item\":\"heat\",\"ts\":$((id / 1000000))}" | send ouzel.events
echo "sent; read Ann's lists with: ouzel read recommendations --key ann --brokers $brokers"
