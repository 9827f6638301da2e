// A library needs a source: CMakeLists.txt says what this one is for.
