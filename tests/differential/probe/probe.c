// The process of each container, what exec starts, and, by the name hook, each hook. It writes down
// what it finds around it, in sections and lines that observe.go knows. It is one static program
// without threads, for it has to run under tight limits and filters, and in an emulated machine,
// where each new process takes long.
//
// probe MODE...       prints to standard output. In mode hold it then waits for signals, and has a
//                     child that does, too.
// hook LOG NAME WHAT  appends to a file, then does what WHAT says.
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

static FILE *out;
static char data[1 << 16];

static void section(const char *name)
{
	// What follows may hang: what was found so far is to be seen.
	fprintf(out, "== %s\n", name);
	fflush(out);
}

// slurp reads a file into data, and returns its length, or -1.
static ssize_t slurp(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n, length = 0;
	while ((n = read(fd, data + length, sizeof data - 1 - length)) > 0)
		length += n;
	int error = errno;
	close(fd);
	errno = error;
	if (n < 0)
		return -1;
	data[length] = 0;
	return length;
}

// lines prints each line of a file behind a name.
static void lines(const char *name, const char *path)
{
	if (slurp(path) < 0) {
		fprintf(out, "%s:! %s\n", name, strerror(errno));
		return;
	}
	for (char *line = strtok(data, "\n"); line; line = strtok(NULL, "\n"))
		fprintf(out, "%s:%s\n", name, line);
}

static void print_link(const char *name, const char *path)
{
	struct stat st;
	char target[4096];
	ssize_t n = readlink(path, target, sizeof target - 1);
	if (n < 0 || lstat(path, &st)) {
		fprintf(out, "%s|! %s\n", name, strerror(errno));
		return;
	}
	target[n] = 0;
	fprintf(out, "%s|%c%c %u:%u %s\n", name, st.st_mode & 0400 ? 'r' : '-', st.st_mode & 0200 ? 'w' : '-', st.st_uid, st.st_gid, target);
}

// links prints the links in a directory of /proc/self.
static void links(const char *name)
{
	char path[512], key[512];
	snprintf(path, sizeof path, "/proc/self/%s", name);
	DIR *dir = opendir(path);
	if (!dir) {
		fprintf(out, "%s|! %s\n", name, strerror(errno));
		return;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.' || (!strcmp(name, "fd") && atoi(e->d_name) == dirfd(dir)))
			continue;
		snprintf(path, sizeof path, "/proc/self/%s/%s", name, e->d_name);
		snprintf(key, sizeof key, "%s:%s", name, e->d_name);
		print_link(key, path);
	}
	closedir(dir);
}

static const char *kind(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return "directory";
	case S_IFREG: return "regular file";
	case S_IFLNK: return "symbolic link";
	case S_IFCHR: return "character special file";
	case S_IFBLK: return "block special file";
	case S_IFIFO: return "fifo";
	}
	return "socket";
}

static void streams(void)
{
	struct stat dev = {0}, st;
	stat("/dev", &dev);
	for (int fd = 0; fd < 3; fd++)
		if (!fstat(fd, &st))
			fprintf(out, "%d: %s %o %u:%u %x:%x %s\n", fd, kind(st.st_mode), st.st_mode & 07777, st.st_uid, st.st_gid,
				major(st.st_rdev), minor(st.st_rdev), st.st_dev == dev.st_dev ? "dev" : "other");
}

// files prints a tree, without what lies in the directories of skip, and without terminals, which
// come and go.
static void files(const char *path, int depth, const char *const *skip)
{
	struct stat st;
	char target[4096] = "", below[4096];
	if (lstat(path, &st)) {
		fprintf(out, "%s|! %s\n", path, strerror(errno));
		return;
	}
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlink(path, target, sizeof target - 1);
		target[n < 0 ? 0 : n] = 0;
	}
	fprintf(out, "%s%s%s|%s %o %u:%u", path, *target ? " -> " : "", target, kind(st.st_mode), st.st_mode & 07777, st.st_uid, st.st_gid);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		fprintf(out, " %x:%x", major(st.st_rdev), minor(st.st_rdev));
	fputc('\n', out);
	if (!S_ISDIR(st.st_mode) || depth == 0)
		return;
	for (const char *const *s = skip; *s; s++)
		if (!strcmp(*s, path))
			return;
	DIR *dir = opendir(path);
	if (!dir) {
		fprintf(out, "%s|! %s\n", path, strerror(errno));
		return;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || (!strcmp(path, "/dev/pts") && isdigit(e->d_name[0])))
			continue;
		snprintf(below, sizeof below, "%s/%s", strcmp(path, "/") ? path : "", e->d_name);
		files(below, depth - 1, skip);
	}
	closedir(dir);
}

static void scheduling(void)
{
	struct sched_param param = {0};
	fprintf(out, "session leader: %s\n", getsid(0) == getpid() ? "yes" : "no");
	char *at = slurp("/proc/self/stat") > 0 ? strrchr(data, ')') : NULL;
	int tty;
	long priority;
	if (at && sscanf(at, ") %*c %*d %*d %*d %d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %ld", &tty, &priority) == 2)
		fprintf(out, "tty: %s\npriority: %ld\n", tty ? "some" : "none", priority);
	sched_getparam(0, &param);
	fprintf(out, "nice: %d\nrt priority: %d\npolicy: %d\nio: %ld\n", getpriority(PRIO_PROCESS, 0), param.sched_priority,
		sched_getscheduler(0), syscall(SYS_ioprio_get, 1, 0));
	mode_t mask = umask(0);
	umask(mask);
	fprintf(out, "umask: %04o\n", mask);
}

static void terminal(void)
{
	struct termios t;
	struct winsize size = {0};
	char *name = ttyname(0);
	if (tcgetattr(0, &t))
		return;
	section("terminal");
	ioctl(0, TIOCGWINSZ, &size);
	fprintf(out, "name: %s\nsize: %dx%d\n", name ? name : strerror(errno), size.ws_row, size.ws_col);
	fprintf(out, "iflag: %x\noflag: %x\ncflag: %x\nlflag: %x\ncc:", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
	for (int i = 0; i < NCCS; i++)
		fprintf(out, " %d", t.c_cc[i]);
	fputc('\n', out);
}

// What is tried. Each returns 0, or -1 and errno.

static int create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	return fd < 0 ? -1 : unlink(path);
}

static int make_directory(const char *path) { return mkdir(path, 0755) ? -1 : rmdir(path); }

static int mount_tmpfs(const char *path) { return mount("probe", path, "tmpfs", 0, NULL) ? -1 : umount(path); }

static int write_one(const char *path)
{
	int fd = open(path, O_WRONLY);
	return fd < 0 ? -1 : write(fd, "1", 1) == 1 ? 0 : -1;
}

static int name_host(const char *name) { return sethostname(name, strlen(name)); }

static int read_one(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK);
	return fd < 0 ? -1 : read(fd, data, 1) < 0 ? -1 : 0;
}

static int read_all(const char *path)
{
	if (slurp(path) < 0)
		return -1;
	fprintf(out, "reads %s", data);
	if (!*data)
		fputc('\n', out);
	return 0;
}

static int execute(const char *path) { return execl(path, path, (char *)NULL); }

static int make_node(const char *path) { return mknod(path, S_IFCHR | 0644, makedev(1, 3)) ? -1 : unlink(path); }

static int open_to_append(const char *path) { return open(path, O_WRONLY | O_APPEND | O_NONBLOCK) < 0 ? -1 : 0; }

// try does something in a process of its own: a filter may end it.
static void try(const char *what, int (*trial)(const char *), const char *argument)
{
	int status;
	fflush(out);
	pid_t pid = fork();
	if (pid == 0) {
		int got = trial(argument);
		if (got)
			fprintf(out, "%s: %s\n", what, strerror(errno));
		fflush(out);
		_exit(got ? 1 : 0);
	}
	if (pid < 0)
		fprintf(out, "%s: fork: %s\n", what, strerror(errno));
	else if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
		fprintf(out, "%s: signal %d\n", what, WTERMSIG(status));
	else if (status == 0)
		fprintf(out, "%s: ok\n", what);
}

static void tries(void)
{
	try("write to the root", create, "/.probe");
	try("write below /tmp", create, "/tmp/.probe");
	try("write below /data", create, "/data/.probe");
	try("mkdir", make_directory, "/tmp/.dir");
	try("mount", mount_tmpfs, "/mnt");
	try("write a sysctl", write_one, "/proc/sys/kernel/shm_rmid_forced");
	try("set the host name", name_host, "probe.new");
	try("read zero", read_one, "/dev/zero");
	try("own device", read_one, "/dev/mine");
	try("masked file", read_all, "/etc/secret");
	try("execute below /data", execute, "/data/true");
	try("mknod", make_node, "/tmp/.node");
	try("write to stdout", open_to_append, "/dev/stdout");
}

static const char *const settings[] = {"/proc/self/status", "/proc/self/limits", "/proc/self/cgroup", "/proc/self/oom_score_adj",
	"/proc/self/loginuid", "/proc/self/personality", "/proc/self/timerslack_ns", "/proc/self/uid_map", "/proc/self/gid_map",
	"/proc/self/setgroups", "/proc/self/coredump_filter", "/proc/self/timens_offsets", "/proc/keys", "/proc/sys/kernel/hostname",
	"/proc/sys/kernel/domainname", "/proc/sys/kernel/shm_rmid_forced", "/proc/sys/kernel/msgmax", "/proc/sys/net/ipv4/ip_forward",
	"/proc/sys/net/ipv4/ping_group_range", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/fs/mqueue/msg_max",
	"/proc/sys/user/max_user_namespaces", "/sys/class/net/lo/flags", NULL};

static void environment(void)
{
	for (char **variable = environ; *variable; variable++)
		fprintf(out, "%s\n", *variable);
}

static volatile sig_atomic_t got_usr1;

static void on_term(int signal) { (void)signal; _exit(7); }

static void on_usr1(int signal) { (void)signal; got_usr1 = 1; }

// hold waits for signals. The child is what a kill of the first process alone would leave.
static void hold(void)
{
	if (fork() == 0)
		for (;;)
			pause();
	signal(SIGTERM, on_term);
	signal(SIGUSR1, on_usr1);
	section("end");
	for (;;) {
		pause();
		if (got_usr1) {
			got_usr1 = 0;
			fputs("usr1\n", out);
			fflush(out);
		}
	}
}

static int probe(int argc, char **argv)
{
	static const char *const none[] = {NULL};
	static const char *const others[] = {"/proc", "/bin", "/sys", "/dev", NULL};
	char cwd[4096];
	out = stdout;
	section("start");
	for (int i = 1; i < argc; i++)
		fprintf(out, "arg: %s\n", argv[i]);
	fprintf(out, "pwd: %s\n", getcwd(cwd, sizeof cwd) ? cwd : strerror(errno));
	section("links");
	links("fd");
	links("ns");
	print_link("cwd", "/proc/self/cwd");
	print_link("root", "/proc/self/root");
	section("streams");
	streams();
	section("environ");
	environment();
	section("files");
	for (const char *const *path = settings; *path; path++)
		lines(strncmp(*path, "/proc/self/", 11) ? *path : *path + 11, *path);
	section("mountinfo");
	if (slurp("/proc/self/mountinfo") > 0)
		fputs(data, out);
	section("scheduling");
	scheduling();
	section("nodes");
	files("/dev", 9, none);
	section("tree");
	files("/", 2, others);
	section("tries");
	tries();
	terminal();
	if (argc > 1 && !strcmp(argv[1], "hold"))
		hold();
	section("end");
	return 3;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// among reports whether a list has the beginning of a line.
static int among(const char *line, const char *const *list)
{
	for (; *list; list++)
		if (!strncmp(line, *list, strlen(*list)))
			return 1;
	return 0;
}

static void some_lines(const char *path, const char *const *list)
{
	if (slurp(path) < 0)
		return;
	for (char *line = strtok(data, "\n"); line; line = strtok(NULL, "\n"))
		if (among(line, list))
			fprintf(out, "%s\n", line);
}

static int hook(int argc, char **argv)
{
	static const char *const status[] = {"Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp:", "SigIgn:", "SigBlk:", "Cpus_allowed:", NULL};
	static const char *const limits[] = {"Max open files", "Max core", "Max processes", NULL};
	const char *name = argc > 2 ? argv[2] : "", *what = argc > 3 ? argv[3] : "";
	char cwd[4096], state[8192];
	size_t n = 0, count = 0;
	out = argc > 1 ? fopen(argv[1], "ae") : NULL;
	if (!out)
		return 8;
	static char buffer[1 << 16];
	setvbuf(out, buffer, _IOFBF, sizeof buffer); // one write: others append, too
	fprintf(out, "== hook %s\n", name);
	if (strcmp(what, "closed")) {
		ssize_t got;
		while (n < sizeof state - 1 && (got = read(0, state + n, sizeof state - 1 - n)) > 0)
			n += got;
		state[n] = 0;
		fprintf(out, "state: %s\n", state);
	}
	fputs("args:", out);
	for (int i = 0; i < argc; i++)
		fprintf(out, " %s", argv[i]);
	fprintf(out, "\ncwd: %s\n", getcwd(cwd, sizeof cwd) ? cwd : strerror(errno));
	while (environ[count])
		count++;
	qsort(environ, count, sizeof *environ, by_text);
	for (char **variable = environ; *variable; variable++)
		fprintf(out, "env %.*s: %s\n", (int)strcspn(*variable, "="), *variable, *variable);
	some_lines("/proc/self/status", status);
	some_lines("/proc/self/limits", limits);
	lines("oom", "/proc/self/oom_score_adj");
	links("ns");
	fclose(out);
	if (!strcmp(what, "fail")) {
		fprintf(stderr, "hook %s fails\n", name);
		return 9;
	}
	if (!strcmp(what, "slow"))
		sleep(30);
	if (!strcmp(what, "leave") && fork() == 0) {
		for (int fd = 0; fd < 3; fd++)
			close(fd); // nobody is to wait for their end
		sleep(1000);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";
	return strcmp(name, "hook") ? probe(argc, argv) : hook(argc, argv);
}
