#!/bin/busybox sh
# First program of the Linux guest: tries a disk and a network card of Zendo's, and says how it went.
/bin/busybox --install -s /bin
mount -t proc p /proc
mount -t sysfs s /sys
mount -t devtmpfs d /dev
say() { echo "LINUX $*"; }
say "up $(uname -r)"
for module in crc16 mbcache jbd2 crc32c_generic ext4 xen-blkfront xen-netfront; do
    insmod /lib/$module.ko || say "insmod $module failed"
done

tries=0
while [ ! -b /dev/xvda ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
dd if=/dev/urandom of=/tmp/written bs=64k count=32 2>/dev/null
dd if=/tmp/written of=/dev/xvda bs=64k conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/xvda of=/tmp/read bs=64k count=32 2>/dev/null
cmp /tmp/written /tmp/read && say "disk: what was written is read"
mke2fs /dev/xvda >/dev/null 2>&1 && mount -t ext4 /dev/xvda /mnt && echo kept >/mnt/file && umount /mnt
mount -t ext4 /dev/xvda /mnt && say "ext4: $(cat /mnt/file)" && umount /mnt

cat >/tmp/bound <<'EOF'
#!/bin/sh
[ "$1" = bound ] && ifconfig eth0 "$ip" netmask "$subnet" && route add default gw "$router"
EOF
chmod +x /tmp/bound
ifconfig lo 127.0.0.1 up
ifconfig eth0 up
udhcpc -i eth0 -n -q -t 10 -s /tmp/bound >/dev/null 2>&1 && say "dhcp: $(hostname -i 2>/dev/null) bound"
ping -c 3 -i 0.2 10.0.2.2 >/dev/null 2>&1 && say "ping: the world answers"
ping -c 3 -i 0.2 10.0.2.15 >/dev/null 2>&1 && say "ping: dom0 answers"
# Not wget: that of the static busybox ends at address 0.
printf 'GET /status.json HTTP/1.0\r\n\r\n' | nc -w 10 10.0.2.80 80 | grep -q '"name":"httpd"' && say "page: another guest serves"
say "done"
poweroff -f
