# shellcheck shell=sh
# Read by gui-init.sh at every start, once /boot is mounted. In a start without anything to do this
# is one call that touches nothing: no module is loaded and nothing is measured.
# Of the firmware it uses enable_usb, recovery, whiptail and its reboot script.

reown_hook() {
	reown wizard --check >/tmp/reown-check 2>&1
	reown_code=$?
	case $reown_code in
	0) return 0 ;;
	7) reown_run ;;
	*) reown_ended check ;;
	esac
}

# Runs reown until it has finished or the person goes elsewhere. A finished run restarts the
# machine and does not come back.
reown_run() {
	# Measures the modules as on any other start that needs the security key.
	enable_usb
	reown
	reown_code=$?
	[ "$reown_code" = 0 ] || reown_ended run
}

# reown_ended check|run: what happened, and what can be done now. A half-done run looks to the
# firmware like an attack and like a machine without an owner; so its menu is not offered where one
# is known to be under way.
reown_ended() {
	case $reown_code in
	1) reown_text="reown has ended with an error. Its last screen said what that means for your files." ;;
	3) reown_text="reown could not show that this computer is as it was handed over, or found signs of tampering. Type no passphrase before you know why." ;;
	4) reown_text="reown needed an answer that nobody could give." ;;
	5) reown_text="Taking over this computer has stopped and is not finished. It goes on where it stopped. Until then TPM, security key and /boot need not agree: that alone is no sign of an attack." ;;
	6) reown_text="reown was left, or something must be put right first." ;;
	*) reown_text="reown did not run to its end (exit code $reown_code)." ;;
	esac
	[ "$1" = run ] || reown_text="reown could not be asked whether there is something to do (exit code $reown_code)."
	if [ "$reown_code" = 5 ]; then
		set --
	else
		reown_text="$reown_text

If somebody had begun to take over this computer, reset nothing in the firmware's menu: TPM and /boot need not agree then."
		set -- m " Go on to the firmware's menu"
	fi
	while :; do
		reown_whiptail --title "Taking over this computer" --menu "$reown_text" 0 80 4 \
			c " Continue with reown" r " Restart" x " Recovery shell" "$@" \
			2>/tmp/whiptail || recovery "GUI menu failed"
		case $(cat /tmp/whiptail) in
		c)
			reown_run
			return
			;;
		r) if command -v reboot.sh >/dev/null; then reboot.sh; else reboot; fi ;;
		x) recovery "User requested recovery shell" ;;
		m) [ $# = 0 ] || return 0 ;;
		esac
	done
}

reown_whiptail() {
	if command -v whiptail_warning >/dev/null; then whiptail_warning "$@"; else whiptail "$@"; fi
}

# In place of the firmware's "OEM Factory Reset / Re-Ownership", under which name gui-init.sh
# calls it.
reown_factory_reset() {
	reown wizard --check >/tmp/reown-check 2>&1
	reown_code=$?
	if [ "$reown_code" = 7 ]; then
		reown_run
		return
	fi
	reown_whiptail --title "OEM Factory Reset / Re-Ownership" --menu "No hand-over waits in /boot.

With reown a computer without an owner becomes yours, or the one that is yours already begins anew with another security key. Your files stay; it asks before it changes anything." \
		0 80 4 \
		n " Nobody owns this computer yet: take it over" \
		l " It is mine, and my security key is lost" \
		f " The firmware's own factory reset" \
		m " <-- Return to main menu" \
		2>/tmp/whiptail || return 1
	case $(cat /tmp/whiptail) in
	n)
		mount -o rw,remount /boot && : >/boot/oem
		reown_code=$?
		mount -o ro,remount /boot
		if [ "$reown_code" != 0 ]; then
			reown_whiptail --title "OEM Factory Reset / Re-Ownership" --msgbox "/boot cannot be written. Nothing was changed." 0 80
			return 1
		fi
		reown_run
		;;
	l)
		enable_usb
		reown wizard --lost-key
		reown_code=$?
		[ "$reown_code" = 0 ] || reown_ended run
		;;
	f)
		reown_own=oem-factory-reset.sh
		command -v "$reown_own" >/dev/null || reown_own=oem-factory-reset
		command "$reown_own" "$@"
		;;
	*) return 1 ;;
	esac
}

# Only bash takes such names for functions; elsewhere the menu keeps its own script.
if [ -n "${BASH_VERSION:-}" ]; then
	eval 'oem-factory-reset.sh() { reown_factory_reset "$@"; }
	oem-factory-reset() { reown_factory_reset "$@"; }'
fi

reown_hook
