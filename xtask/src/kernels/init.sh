#!/bin/busybox sh
# The guest's first process: mounts what a gateway needs, tries everything, and switches the machine off.
# Answers go to the second serial port, all else to the first.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
stty -F /dev/ttyS1 raw
insmod /veth.ko
sh /probe.sh /bin/waggle /tmp /bin/guard_packets >/dev/ttyS1
poweroff -f
