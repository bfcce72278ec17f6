export async function video() { return []; }
