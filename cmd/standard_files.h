// Standard input, output and error of a program, whoever started it.
#pragma once

#include <fcntl.h>

#include <cerrno>

namespace raftkv {

// Opens those of the three that are closed, so that no other file is taken for them: what a program
// says would be written into its data. From a standard input opened here nothing is read, a
// standard output fails when it is written to, as a closed one does. To be called first in main.
inline void KeepStandardFiles() {
  for (const int fd : {0, 1, 2}) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) != fd) return;
  }
}

}  // namespace raftkv
