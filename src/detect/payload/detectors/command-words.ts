/**
 * Commands of Unix shells and of Windows. Sources: POSIX utilities, GNU coreutils, the GTFOBins and LOLBAS
 * lists' names, Microsoft's command reference.
 */
import { wordSet } from '../../../std/words.ts'

/** Names that are no ordinary word of a language: standing in command position is telling. */
export const SHELL_COMMANDS = wordSet(`
  whoami ifconfig uname wget curl netstat nslookup chmod chown chgrp bash zsh ksh csh tcsh dash ash fish sh
  python python2 python3 perl ruby php nodejs lua gcc cc clang gdb nc ncat netcat socat telnet ssh scp sftp
  rsync sudo su doas passwd adduser useradd usermod userdel groupadd crontab systemctl journalctl iptables ufw
  nmap masscan traceroute tracepath ping ping6 dig arp ip6tables ethtool tcpdump rm rmdir mv cp ln ls ll dir
  vdir cat tac nl od xxd hexdump strings awk gawk mawk nawk sed grep egrep fgrep zgrep tee xargs nohup setsid
  timeout strace ltrace ldd lsof fuser ps pkill killall pgrep kill nice renice busybox toybox tar gzip gunzip
  zcat bzip2 bunzip2 xz zip unzip cpio ar 7z 7za dd mkfifo mknod mktemp mount umount fdisk df du lsblk blkid
  mkdir touch basename dirname readlink realpath stat chroot env printenv getent uptime dmesg lsmod insmod
  modprobe sysctl hostnamectl vi vim vimdiff rvim nano pico emacs ed ex apt apt-get yum dnf rpm dpkg apk pip
  pip3 npm yarn gem cpan docker kubectl helm podman git svn hg aws gcloud az ansible ansible-playbook chef
  puppet terraform vagrant mysql mysqldump psql sqlite3 mongo redis-cli openssl gpg base32 base64 md5sum sha1sum
  sha256sum shuf tail gtail rev fold fmt pr csplit uniq expr printf eval exec alias unalias unset fg bg jobs
  source ulimit umask visudo vipw vigr lastlog lastb rlogin rsh rcp rmt dstat htop iftop iostat vmstat sar nproc
  lscpu lshw dmidecode cscli capsh chsh chfn chattr lsattr setfacl getfacl setcap getcap flock ionice stdbuf
  unshare nsenter lxc virsh qemu screen tmux byobu expect zless zmore bzless bzcat lwp-download aria2c axel ftp
  tftp lftp mail mailx mutt sendmail certbot agetty ansible-config ansible-console ansible-inventory
  ansible-pull ansible-galaxy ansible-vault ansible-doc ansible-test chef-client chef-solo chef-shell chef-run
  ssh-copy-id ssh-keygen ssh-keyscan apt-key aptitude cpulimit bsdtar chef-vault knife
`)
/** Commands that are also words: they need a flag, a path or the end of a separator's clause. */
export const SHELL_WORDLIKE = wordSet(`
  id who w cd echo date time find cut sort head more less last at set test true false file comm split join look
  watch wait read command type which where whereis whatis locate man finger host hostname install link make move
  node go start stop service shutdown reboot halt history info kill sleep yes users groups logname free export
  unlink patch paste diff cmp tr wc wall write talk batch column script mesg login exit logout local let pwd
  sync top cancel enable disable select run nice dir map function for if while until case do
`)
/** Windows commands and PowerShell verbs' nouns that stand alone. */
export const WINDOWS_COMMANDS = wordSet(`
  cmd powershell pwsh certutil bitsadmin regsvr32 rundll32 mshta wscript cscript wmic schtasks tasklist taskkill
  netsh ipconfig systeminfo reg regedit attrib cacls icacls xcopy robocopy diskpart diskshadow bcdboot bcdedit
  vssadmin wevtutil nbtstat ver vol dsquery dsget dsadd nltest gpresult msiexec msbuild installutil regasm
  forfiles fsutil findstr iex invoke expression webrequest iwr invoke_expression wget type del erase rd md ren
  copy net net1 quser query whoami for if errorlevel exist
`)
