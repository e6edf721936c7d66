#!/bin/sh
# A hook: writes down what it was called with to the file that is its first argument's, then does what
# its second asks for.
log=$1
name=$2
what=$3
{
	echo "== hook $name"
	[ "$what" = closed ] || echo "state: $(cat)"
	echo "args: $*"
	echo "cwd: $(pwd -P)"
	env | grep -v '^\(PWD\|OLDPWD\|SHLVL\|_\)=' | sort
	grep -sE '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|SigIgn|SigBlk|Cpus_allowed):' /proc/self/status
	grep -sE '^Max (open files|core|processes)' /proc/self/limits
	echo "oom: $(cat /proc/self/oom_score_adj 2>&1)"
	ls -ln /proc/self/ns 2>&1
} >>"$log" 2>&1
case $what in
fail) echo "hook $name fails" >&2; exit 9 ;;
slow) exec sleep 30 ;;
leave) sleep 1000 </dev/null >/dev/null 2>&1 & ;;
esac
exit 0
