// The page's JavaScript is formatted as Python is here: lines of 120 characters, double quotes.
export default { printWidth: 120 };
