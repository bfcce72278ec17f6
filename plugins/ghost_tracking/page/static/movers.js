export async function movers() { return []; }
