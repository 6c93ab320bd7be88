#!/bin/bash
# Makes the root file system of a node: Debian with systemd and what Kubernetes calls on a node.
# usage: debian.sh FOLDER      (as root, in mount and PID namespaces that end with it)
set -euo pipefail
root=$1

packages=(
  systemd systemd-sysv                     # PID 1
  iptables nftables conntrack iproute2     # services and pod networks
  ethtool kmod procps e2fsprogs            # kubelet and kubeadm look for them
  runc                                     # under containerd
  ca-certificates jq curl                  # kind, and people who look around
  busybox-static                           # the shell of helper pods
)
debootstrap --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" bookworm "$root"

rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* \
  "$root"/usr/share/{doc,man,locale,info} "$root"/tmp/*

# Units that touch the machine, or have nothing to do in a container.
chroot "$root" systemctl mask --quiet \
  getty.target console-getty.service systemd-logind.service \
  systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
  systemd-binfmt.service systemd-modules-load.service systemd-sysctl.service systemd-timesyncd.service \
  systemd-networkd.service systemd-resolved.service systemd-oomd.service systemd-remount-fs.service \
  systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service \
  dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
chroot "$root" systemctl set-default --quiet multi-user.target
# The kernel's messages are the machine's.
echo ReadKMsg=no >>"$root/etc/systemd/journald.conf"
