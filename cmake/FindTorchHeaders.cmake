# Sets TORCH_DIR to the folder of an installed torch >= 2.10 (with include/ and lib/), or leaves it
# empty. Asks, in order: -DTORCH_DIR, the interpreter that builds, and the environment it was started
# from (pip hides that environment's packages from an isolated build, not its path).
set(TORCH_DIR "" CACHE PATH "Folder of the installed torch package")
if(NOT TORCH_DIR)
  if(NOT Python_EXECUTABLE)
    find_package(Python COMPONENTS Interpreter QUIET)
  endif()
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c "
import glob, importlib.util, os, re, sysconfig
found = importlib.util.find_spec('torch')
places = [os.path.dirname(found.origin)] if found else []
places += [os.path.join(sysconfig.get_path(k), 'torch') for k in ('purelib', 'platlib')]
places += glob.glob(os.path.join(os.environ.get('VIRTUAL_ENV', '/nonexistent'), 'lib/python3*/site-packages/torch'))
def recent(place):
    path = os.path.join(place, 'version.py')
    text = open(path).read() if os.path.isfile(path) else ''
    found = re.search(r'__version__ = .(\\d+)[.](\\d+)', text)
    return bool(found) and tuple(map(int, found.groups())) >= (2, 10)
print(next(filter(recent, places), ''), end='')"
    OUTPUT_VARIABLE found_torch)
  if(found_torch)
    set(TORCH_DIR ${found_torch} CACHE PATH "Folder of the installed torch package" FORCE)
  endif()
endif()
