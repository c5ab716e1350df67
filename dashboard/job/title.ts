import { useEffect } from 'react';

/** Shows the current activity in the title of the tab; the plain title returns afterwards. */
export function useTitle(text: string | undefined): void {
  useEffect(() => {
    document.title = text === undefined ? 'ngbak' : `${text} – ngbak`;
    return () => {
      document.title = 'ngbak';
    };
  }, [text]);
}
