/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that attack, and how the verdict on each must begin. The task is to
   define f(x), x squared. */
#ifndef LLQ_TEST_HOSTILE_H
#define LLQ_TEST_HOSTILE_H

#define TRY_EACH(calls)                                                        \
  "import os, posix, socket\n"                                                 \
  "def f(x):\n"                                                                \
  "  for call in (" calls "):\n"                                               \
  "    try: return 'done', call()\n"                                           \
  "    except (OSError, ValueError): pass\n"                                   \
  "  return x * x\n"

#define SYSCALL(number_and_arguments)                                          \
  "import ctypes\n"                                                            \
  "def f(x):\n"                                                                \
  "  ctypes.CDLL(None).syscall(" number_and_arguments ")\n"                    \
  "  return x * x\n"

#define LYING(body) "import os, sys\ndef f(x):\n" body

static const struct {
  const char *name, *program, *verdict;
} hostile[] = {
    {"loops", "def f(x):\n  while True: pass\n", "timed out"},
    {"loops while it loads", "while True: pass\n", "timed out"},
    {"swallows every exception",
     "def f(x):\n"
     "  while True:\n"
     "    try:\n"
     "      while True: pass\n"
     "    except BaseException: pass\n",
     "timed out"},
    {"ignores signals and raises its limit",
     "import resource, signal\n"
     "def f(x):\n"
     "  for s in range(1, 65):\n"
     "    try: signal.signal(s, signal.SIG_IGN)\n"
     "    except (OSError, ValueError): pass\n"
     "  try: resource.setrlimit(resource.RLIMIT_CPU, (99, 99))\n"
     "  except (OSError, ValueError): pass\n"
     "  while True: pass\n",
     "timed out"},
    {"forks", "import os\ndef f(x):\n  os.fork()\n  return x * x\n",
     "exception: PermissionError"},
    {"forks without end",
     "import os\n"
     "def f(x):\n"
     "  while True:\n"
     "    try: os.fork()\n"
     "    except OSError: pass\n",
     "timed out"},
    {"starts a program",
     TRY_EACH("lambda: os.posix_spawn('/usr/bin/true', "
              "['true'], {}),"),
     "passed"},
    {"starts a shell",
     "import subprocess\n"
     "def f(x):\n  subprocess.run(['sh', '-c', 'exit'])\n  return x * x\n",
     "exception: PermissionError"},
    {"becomes another program",
     "import os\ndef f(x):\n  os.execv('/usr/bin/true', ['true'])\n",
     "exited: status 0"},
    {"asks for too much memory", "def f(x):\n  return [0] * 10 ** 10\n",
     "memory limit"},
    {"allocates without end",
     "def f(x):\n"
     "  hoard = []\n"
     "  while True: hoard.append(bytearray(1 << 20))\n",
     "memory limit"},
    {"goes on when memory is short",
     "def f(x):\n"
     "  hoard = []\n"
     "  try:\n"
     "    while True: hoard.append(bytearray(1 << 20))\n"
     "  except MemoryError: pass\n"
     "  return x * x if len(hoard) < 256 else len(hoard)\n",
     "passed"},
    {"fills its disk",
     "def f(x):\n"
     "  n = 0\n"
     "  try:\n"
     "    for i in range(1000):\n"
     "      with open('/tmp/%d' % i, 'wb') as file:\n"
     "        n += file.write(bytes(1 << 20))\n"
     "  except OSError: pass\n"
     "  return x * x if n <= 16 << 20 else n\n",
     "passed"},
    {"writes elsewhere",
     TRY_EACH("lambda: open('/llq-hostile', 'w'),"
              "lambda: open('/usr/llq-hostile', 'w'),"
              "lambda: open('/dev/llq-hostile', 'w'),"
              "lambda: open('/dev/shm/llq-hostile', 'w'),"
              "lambda: open('/home/llq-hostile', 'w'),"
              "lambda: os.mkdir('/llq-hostile'),"
              "lambda: os.symlink('/tmp', '/llq-hostile'),"
              "lambda: os.unlink('/usr/bin/env'),"
              "lambda: os.chmod('/usr/bin', 0o777)"),
     "passed"},
    {"writes to its own /tmp",
     "def f(x):\n"
     "  open('/tmp/llq-hostile', 'w').write('x')\n"
     "  return x * x\n",
     "passed"},
    {"reads the machine's files",
     TRY_EACH("lambda: os.listdir('/etc'), lambda: open('/etc/passwd').read(),"
              "lambda: os.listdir('/proc'), lambda: os.listdir('/sys'),"
              "lambda: os.listdir('/root'), lambda: os.listdir('/home'),"
              "lambda: os.listdir('/var'), lambda: os.listdir('/run'),"
              "lambda: open('/proc/self/environ').read(),"
              "lambda: open('/proc/1/environ').read()"),
     "passed"},
    {"reads the environment",
     "import os\n"
     "def f(x):\n"
     "  return x * x if 'LLQ_SECRET' not in os.environ else 'found'\n",
     "passed"},
    {"is not root and has no powers",
     TRY_EACH("lambda: 1 / (os.getuid() == 0) if os.getuid() == 0 else "
              "os.setuid(0), lambda: os.setgid(0), lambda: os.chroot('/tmp'),"
              "lambda: os.nice(-5)"),
     "crashed: signal 31"},
    {"uses the host's open files",
     TRY_EACH("lambda: os.fstat(50), lambda: os.read(50, 1),"
              "lambda: os.fstat(4)"),
     "passed"},
    {"opens sockets",
     TRY_EACH("socket.socket, lambda: socket.socket(socket.AF_UNIX),"
              "lambda: socket.socket(socket.AF_INET6),"
              "lambda: socket.socketpair()"),
     "passed"},
    {"kills everything",
     TRY_EACH("lambda: os.kill(-1, 9), lambda: os.kill(2, 9)"), "passed"},
    {"kills its parent",
     "import os\ndef f(x):\n  os.kill(os.getppid(), 9)\n  return x * x\n",
     "passed"},
    {"crashes", "import ctypes\ndef f(x):\n  ctypes.string_at(0)\n",
     "crashed: signal 11"},
    {"traces", SYSCALL("101, 0, 0, 0, 0"), "crashed: signal 31"},
    {"makes a user namespace", SYSCALL("272, 0x10000000"),
     "crashed: signal 31"},
    {"clones into a namespace",
     "import ctypes\n"
     "def f(x):\n"
     "  libc = ctypes.CDLL(None)\n"
     "  if libc.syscall(56, 0x10000011, 0, 0, 0, 0) >= 0: return 'cloned'\n"
     "  if libc.syscall(435, 0, 0) >= 0: return 'cloned'\n"
     "  return x * x\n",
     "passed"},
    {"mounts", SYSCALL("165, b'none', b'/tmp', b'tmpfs', 0, 0"),
     "crashed: signal 31"},
    {"opens an io_uring", SYSCALL("425, 8, 0"), "crashed: signal 31"},
    {"loads a BPF program", SYSCALL("321, 0, 0, 0"), "crashed: signal 31"},
    {"prints megabytes",
     "import os, sys\n"
     "def f(x):\n"
     "  for i in range(64):\n"
     "    sys.stdout.write('x' * (1 << 20)); os.write(2, b'x' * (1 << 20))\n"
     "  return x * x\n",
     "passed"},
    {"reads its input", "def f(x):\n  return input()\n", "exception: EOFError"},
    {"overrides == on an object",
     "class Any:\n  def __eq__(self, other): return True\n"
     "def f(x):\n  return Any()\n",
     "not plain data: Any"},
    {"overrides == on a number",
     "class Any(int):\n"
     "  def __eq__(self, other): return True\n"
     "  def bit_length(self): return 8\n"
     "def f(x):\n  return Any(5)\n",
     "wrong answer: f(2) returned 5"},
    {"says it is of another class",
     "class Any:\n  __class__ = int\n"
     "  def __eq__(self, other): return True\n"
     "def f(x):\n  return Any()\n",
     "not plain data: Any"},
    {"leaves at once", LYING("  os._exit(0)\n"), "exited: status 0"},
    {"leaves while it loads", "import os\nos._exit(3)\n", "exited: status 3"},
    {"exits", LYING("  sys.exit(0)\n"), "exited: SystemExit: 0"},
    {"raises SystemExit", LYING("  raise SystemExit\n"), "exited: SystemExit"},
    {"raises SystemExit while it loads", "raise SystemExit\n",
     "exited: SystemExit"},
    {"raises an exception of its own",
     "class E(BaseException):\n"
     "  def __str__(self): raise self\n"
     "def f(x):\n  raise E\n",
     "exception: E"},
    {"patches the builtins",
     "import builtins\n"
     "builtins.AssertionError = builtins.len = builtins.type = None\n"
     "builtins.isinstance = lambda *a: True\n"
     "def f(x):\n  return 5\n",
     ""},
    {"forges a verdict while it loads",
     "import os\nos.write(3, b'\\0\\0\\0\\1VP')\n", "forged answer"},
    {"forges a pass while it loads",
     "import os\nos.write(3, b'\\0\\0\\0\\0P')\nwhile True: pass\n",
     "forged answer"},
    {"forges a verdict",
     LYING("  os.write(3, b'\\0\\0\\0\\1VP')\n  while True: pass\n"),
     "forged answer"},
    {"answers out of turn",
     LYING("  os.write(3, b'\\0\\0\\0\\5R\\0\\0\\0\\7N')\n  return x * x\n"),
     "forged answer"},
    {"answers with bytes that are no data",
     LYING("  os.write(3, b'\\0\\0\\0\\x0aR\\0\\0\\0\\1s\\0\\0\\0\\7x')\n"
           "  while True: pass\n"),
     "forged answer"},
    {"answers with a key that cannot be hashed",
     LYING("  os.write(3, b'\\0\\0\\0\\x0eR\\0\\0\\0\\1e\\0\\0\\0\\1l"
           "\\0\\0\\0\\0')\n  while True: pass\n"),
     "forged answer"},
    {"announces a huge answer",
     LYING("  os.write(3, b'\\xff\\xff\\xff\\xffR')\n  while True: pass\n"),
     "output limit"},
    {"answers without end",
     LYING("  while True: os.write(3, b'\\0' * 65536)\n"), "forged answer"},
    {"walks to the runner's frames",
     LYING("  names = sys._getframe(1).f_globals\n"
           "  names['encode'] = lambda value, out: out.extend(b'T')\n"
           "  return x\n"),
     "wrong answer: f(2) returned True"},
    {"recurses", "def f(x):\n  return f(x)\n", "exception: RecursionError"},
    {"recurses without a limit",
     "import sys\nsys.setrecursionlimit(10 ** 9)\n"
     "def f(x):\n  return f(x)\n",
     ""},
    {"closes its files", LYING("  os.closerange(0, 100)\n  while True: pass\n"),
     "exited: closed its channel"},
    {"closes its files and goes on",
     LYING("  os.closerange(0, 100)\n  return x * x\n"), "exited: status 1"},
    {"returns much", "def f(x):\n  return 'x' * (1 << 25)\n", "output limit"},
    {"returns much in small pieces",
     "def f(x):\n  a = ['x' * 10000]\n"
     "  for i in range(60): a = [a, a]\n"
     "  return a\n",
     "output limit"},
    {"returns what is nested deeply",
     "def f(x):\n  a = []\n"
     "  for i in range(10 ** 5): a = [a]\n"
     "  return a\n",
     "not plain data: nested too deeply"},
    {"returns what contains itself",
     "def f(x):\n  a = {}\n  a[1] = a\n  return a\n",
     "not plain data: nested too deeply"},
    {"deletes the modules",
     "import sys\nsys.modules.clear()\ndef f(x):\n  return x * x\n", "passed"},
    {"leaves threads running",
     "import threading\n"
     "def loop():\n  while True: pass\n"
     "def f(x):\n"
     "  threading.Thread(target=loop).start()\n"
     "  return x * x\n",
     "passed"},
    {"starts threads without end",
     "import threading, time\n"
     "def f(x):\n"
     "  while True: threading.Thread(target=time.sleep, args=(99,)).start()\n",
     "exception: RuntimeError"},
};

#endif
