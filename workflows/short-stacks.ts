// Loaded once into the workflow sandbox, before any workflow. The SDK takes a stack for every promise, to answer
// "where does it wait?", and maps it back to the sources; ten frames of that cost more than our own code does. One
// frame still tells where a fault was thrown.
Error.stackTraceLimit = 1;
