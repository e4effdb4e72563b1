# Tries the gateway's acceleration on the kernel that this runs on: `waggle accel check`, then a gateway with
# a connection, and a source that it denies. Prints a line for each answer: its name, and JSON.
#
# $1: the gateway; $2: an empty folder; $3: the test that compares the guard's verdicts.
# Wants to be root, with a network and mounts of its own, and busybox's tools.
waggle=$1 dir=$2 verdicts=$3
data=$dir/data

answer() {
    name=$1
    shift
    said=$("$@" 2>>"$dir/errors" | tr -d '\n')
    echo "$name ${said:-null}"
}

# Whether a request to the address $1 of this machine, which then comes from it, is answered within $2 seconds.
reaches() {
    timeout "$2" wget -q -O /dev/null "http://$1:8080/healthz" 2>/dev/null && echo true || echo false
}

ip link set lo up
ip address add 10.231.7.2/32 dev lo
ip address add 10.231.7.3/32 dev lo
ip link add wire0 type veth
ip link set wire0 up

grep -q ' /sys/fs/bpf bpf ' /proc/mounts || mount -t bpf bpf /sys/fs/bpf

answer check "$waggle" accel check --interface wire0 --output json

RUST_TEST_THREADS=1 "$verdicts" >"$dir/verdicts" 2>&1
echo "verdicts {\"failed\": $?, \"skipped\": $(grep -c SKIPPED "$dir/verdicts")}"

printf '[accel.guard]\ninterfaces = ["wire0", "lo"]\n' >"$dir/waggle.toml"
mkfifo "$dir/ready"
"$waggle" serve --config "$dir/waggle.toml" --data-dir "$data" --api 0.0.0.0:8080 --push 127.0.0.1:8081 \
    --output json >"$dir/ready" 2>"$dir/log" &
gateway=$!
exec 3<"$dir/ready"
read -r ready <&3
echo "ready ${ready:-null}"

answered=$(reaches 127.0.0.1 20)
"$waggle" accel guard deny 10.231.7.2 --confirm-within 0 --data-dir "$data" >/dev/null 2>>"$dir/errors"
denied=$(reaches 10.231.7.2 3)
other=$(reaches 10.231.7.3 20)
echo "connections {\"answered\": $answered, \"denied\": $denied, \"other\": $other}"
answer status "$waggle" accel status --data-dir "$data" --output json
answer legs "$waggle" accel legs --data-dir "$data" --output json
answer guard "$waggle" accel guard status --data-dir "$data" --output json

# What the verifier had to look at, from the descriptors of the programs that the gateway holds.
for info in /proc/$gateway/fdinfo/*; do
    kind=$(sed -n 's/^prog_type:[[:space:]]*//p' "$info" 2>/dev/null)
    looked=$(sed -n 's/^verified_insns:[[:space:]]*//p' "$info" 2>/dev/null)
    if [ -n "$kind" ]; then echo "program {\"kind\": $kind, \"verified\": ${looked:-0}}"; fi
done

kill $gateway
wait $gateway
echo "stopped {\"status\": $?}"
# For whoever reads what went wrong.
cat "$dir/verdicts" "$dir/errors" "$dir/log" >&2
